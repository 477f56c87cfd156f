import { describe, expect, it } from "vitest";
import { sdmae, tool } from "../support/cli.js";

describe("--help", () => {
  const model = ["--preset", "--size", "--mask-ratio", "--norm", "--masked-only"];
  const cases: [name: string, options: string[]][] = [
    [
      "score",
      [
        ...[...model, "--masking", "--score", "--checkpoint", "--student", "--out", "--seed", "--batch"],
        ...["--adapter", "--robust", "--no-tune", "--order", "--step", "--raw-size", "--raw-format", "--raw-fps"],
        ...["--dtype", "--heads", "--profile", "--quiet", "--frame-score", "--tokens", "--top-k", "--min-motion"],
        ...[
          "--report",
          "--video",
          "--events",
          "--threshold",
          "--normal",
          "--normal-quantile",
          "--calibration",
          "--fps",
        ],
      ],
    ],
    [
      "eval",
      [
        ...[
          ...model,
          "--masking",
          "--score",
          "--dataset",
          "--root",
          "--labels",
          "--checkpoint",
          "--student",
          "--split",
          "--threshold",
          "--videos",
        ],
        ...[
          "--json",
          "--report",
          "--work",
          ...["--nats", "--nats-creds", "--nats-ca", "--share"],
          "--seed",
          "--maskings",
          "--frame-score",
          "--tokens",
          "--top-k",
          "--min-motion",
        ],
        ...["--smoothing", "--range", "--mu", "--sigma", "--normalize", "--no-normalize", "--map", "--region-quantile"],
        ...[
          "--alpha",
          "--beta",
          "--fps",
          "--batch",
          "--dtype",
          "--heads",
          "--adapter",
          "--robust",
          "--no-tune",
          "--quiet",
        ],
      ],
    ],
    [
      "calibrate",
      [
        ...[model, "--masking", "--score", "--checkpoint", "--student", "--out", "--seed", "--batch"].flat(),
        ...["--alarms-per-day", "--report", "--fps", "--frame-score", "--tokens", "--top-k", "--min-motion"],
        ...["--dtype", "--heads", "--adapter", "--robust", "--no-tune", "--quiet"],
        ...["--config", "--data", "--hours", "--fresh", "--loop"],
      ],
    ],
    ["dataset", ["--dataset", "--labels", "--verify", "--json", "--quiet"]],
    ["extract-gradients", ["--out", "--dataset", "--split", "--force", "--quiet"]],
    ["create-anomalies", []],
    [
      "make-scene",
      [
        ...[
          "--seed",
          "--train",
          "--test",
          "--frames",
          "--size",
          "--fps",
          "--anomalies",
          "--view",
          "--vary-camera",
          "--format",
        ],
        ...["--preview", "--force", "--quiet"],
      ],
    ],
    ["demo", ["--seed", "--frames", "--report", "--adapter", "--robust", "--no-tune"]],
    ["adapters", []],
    ["convert-checkpoint", ["--half", "--heads"]],
    ["export-checkpoint", ["--student", "--heads"]],
    ["check-fixture", ["--tolerance", "--heads", "--dtype", "--adapter", "--robust"]],
    [
      "tune",
      [
        "--checkpoint",
        "--size",
        "--patch",
        "--batch",
        "--mask-ratio",
        "--dtype",
        "--adapter",
        "--robust",
        "--again",
        "--json",
        "--quiet",
      ],
    ],
    ["export-onnx", [...model, "--batch", "--heads", "--predictions", "--fused"]],
  ];

  it.each(cases)("of %s lists exactly its options, as a tool and as a command of sdmae", async (name, options) => {
    const { code, stdout, stderr } = await tool(name, "--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`^Usage: ${name} `));
    const listed = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1]);
    expect(listed.sort()).toEqual([...options, "--help"].sort());
    const below = await sdmae(name, "--help");
    expect({ ...below, stdout: below.stdout.replace("Usage: sdmae ", "Usage: ") }).toEqual({ code, stdout, stderr });
  });

  it("of sdmae lists every command; without a command it is printed with exit code 2", async () => {
    const { code, stdout } = await sdmae("--help");
    expect(code).toBe(0);
    for (const [name] of cases) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    const none = await sdmae();
    expect(none).toEqual({ code: 2, stdout: "", stderr: stdout });
  });
});
