import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { openTrainingCheckpoint } from "../../../src/checkpoint/training_checkpoint.js";
import { validationKinds } from "../../../src/data/anomalies/validation_anomaly.js";
import { runInChild } from "../../support/child.js";
import { expectRefusal, filesIn, frameFolder, sdmae, tool, videoFile } from "../../support/cli.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";
import { walk } from "../../support/walkers.js";

const at = scratch();
const network = [
  ...[
    "--size",
    "32x64",
    "--patch",
    "8",
    "--width",
    "16",
    "--decoder-width",
    "16",
    "--depth",
    "1",
    "--decoder-depth",
    "2",
  ],
  ...["--batch", "4", "--epochs", "3", "--teacher-epochs", "2", "--anomalies", "none", "--lr", "0.001"],
];
const data = () => ["--root", at("data")];
const byLabels = ["--select", "labels"];
/** Options that score frames in another way than the paper. */
const scoring = [
  ...["--frame-score", "top-k", "--top-k", "2", "--tokens", "visible"],
  ...["--smoothing", "gaussian", "--sigma", "1", "--normalize"],
];
const run = ["--adapter", testAdapter, "--save-every", "0.1", ...byLabels, ...scoring];

/** Four training videos in which a block walks, the third of which is short, and a test video. */
async function walkers(root: string): Promise<void> {
  const size = { width: 72, height: 48 };
  const write = async (folder: string, speed: number, count: number) => {
    mkdirSync(folder, { recursive: true });
    const source = await walk(folder, speed, { ...size, tall: 10, count, start: 8 }).open();
    for await (const { data, index } of source.frames()) {
      const image = sharp(data, { raw: { ...size, channels: 3 } });
      await image.toFile(join(folder, `${String(index).padStart(3, "0")}.png`));
    }
  };
  const counts = [12, 12, 8, 12];
  for (const [i, count] of counts.entries()) await write(join(root, `train/frames/0${i + 1}`), 2 + 0.5 * i, count);
  await write(join(root, "test/frames/01"), 2, 8);
  mkdirSync(join(root, "test/labels"), { recursive: true });
  writeFileSync(join(root, "test/labels/01.txt"), "0\n0\n0\n0\n1\n1\n1\n1\n");
}

beforeAll(async () => {
  for (const folder of ["data/train/frames", "data/test/frames", "data/test/labels"]) {
    mkdirSync(at(folder), { recursive: true });
  }
  const size = { height: 40, width: 72 };
  await frameFolder(at("data/train/frames/01"), [...Array(14).keys()], size);
  await frameFolder(at("data/train/frames/02"), [...Array(15).keys()], size);
  await frameFolder(at("data/test/frames/01"), [0, 1, 2, 3, 4, 5], size);
  writeFileSync(at("data/test/labels/01.txt"), "0\n0\n0\n1\n1\n1\n");
});

/** The content of a training checkpoint, without the time that training took. */
function stateOf(folder: string, name = "checkpoint-latest.safetensors") {
  const path = join(folder, name);
  const state = openTrainingCheckpoint({ name: path, bytes: readFileSync(path) });
  (state.training as { progress: { seconds: number } }).progress.seconds = 0;
  return { ...state, checkpoint: { ...state.checkpoint, source: "" } };
}

const entriesOf = (folder: string): Record<string, unknown>[] =>
  readFileSync(join(folder, "log.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it("trains, tests, and writes checkpoints, a log, a page and a model that can be scored with", async () => {
  const ran = await sdmae("train", ...data(), "--out", at("whole"), ...network, ...run);
  expect(ran.stderr).toMatch(/epoch 1: micro-AUC [\d.]+, macro-AUC [\d.]+, the best so far/);
  const kept = "micro-AUC [\\d.]+, macro-AUC [\\d.]+ \\(epoch \\d, chosen by the labels of test videos\\)";
  expect(ran).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`^best teacher: ${kept}; best student: ${kept}\nmodel: `)),
  });
  expect(filesIn(at("whole"))).toEqual([
    ...["checkpoint-best-student.safetensors", "checkpoint-best.safetensors", "checkpoint-latest.safetensors"],
    ...["curves.js", "index.html", "log.jsonl", "model.safetensors", "settings.json"],
  ]);
  const entries = entriesOf(at("whole"));
  const steps = entries.filter(({ type }) => type === "step");
  expect(steps.map(({ step, epoch, stage }) => [step, epoch, stage])).toEqual(
    Array.from({ length: 21 }, (_, i) => [i + 1, 1 + Math.floor(i / 7), i < 14 ? 1 : 2]),
  );
  expect(entries.filter(({ type }) => type === "epoch").length).toBe(3);
  expect(entries.filter(({ type }) => type === "test").length).toBe(3);
  expect(readFileSync(at("whole/curves.js"), "utf8")).toMatch(/"state":"done"/);

  const scored = await sdmae(
    "score",
    at("data/test/frames/01"),
    "-c",
    at("whole/model.safetensors"),
    "-q",
    "--adapter",
    testAdapter,
  );
  expect(scored.code).toBe(0);
  expect(scored.stdout.trim().split("\n").length).toBe(7);
  // By default it is measured as it was tested.
  const json = at("measured.json");
  const model = ["-c", at("whole/model.safetensors"), "--adapter", testAdapter, "--json", json];
  const measured = await sdmae("eval", ...data(), ...model);
  expect(measured.stderr).toMatch(
    /frames are scored as this model was tested in training: top-k \(k = 2\) of visible tokens/,
  );
  const result = JSON.parse(readFileSync(json, "utf8")) as {
    settings: Record<string, unknown>;
    metrics: { name: string; value: number }[];
  };
  expect(result.settings).toMatchObject({ scoring: "top-k", tokens: "visible", topK: 2, normalize: true });
  expect(result.settings).toMatchObject({ smoothing: { kind: "gaussian", sigma: 1 } });
  const best = entries.findLast((entry) => entry.type === "test" && entry.stage === 2 && entry.best);
  expect(result.metrics.find(({ name }) => name === "micro-AUC")?.value).toBeCloseTo(
    100 * (best?.microAuc as number),
    9,
  );
  const exported = await tool("export-checkpoint", at("whole/checkpoint-latest.safetensors"), at("latest.pth"));
  expect(exported.code).toBe(0);

  const again = await sdmae("train", ...data(), "--out", at("whole"), ...network, ...run);
  expectRefusal(again, "holds a run already: continue it with --resume");
});

it("replaces no page of something else, and no log of a run whose checkpoint is gone", async () => {
  const train = (folder: string) => sdmae("train", ...data(), "--out", folder, ...network, ...run);
  for (const folder of ["page", "gone"]) mkdirSync(at(folder));
  writeFileSync(at("page", "index.html"), "a report");
  expectRefusal(await train(at("page")), "page holds index.html of something else: choose another folder");
  expect(readFileSync(at("page", "index.html"), "utf8")).toBe("a report");
  for (const [folder, name, why] of [
    ["model", "model.safetensors", "holds model.safetensors of something else"],
    ["log", "log.jsonl", "holds log.jsonl of something else"],
  ] as const) {
    mkdirSync(at(folder));
    writeFileSync(at(folder, name), "not of a run");
    expectRefusal(await train(at(folder)), why);
    expect(filesIn(at(folder))).toEqual([name]);
    expect(readFileSync(at(folder, name), "utf8")).toBe("not of a run");
  }
  writeFileSync(at("gone", "log.jsonl"), '{"type":"run"}\n{"type":"epoch","epoch":1}\n');
  expectRefusal(await train(at("gone")), "gone holds the log of a run whose checkpoint is gone");
});

it("ends with the same bits if SIGKILL stopped the run and --resume continued it", async () => {
  const folder = at("killed");
  const args = ["train", ...data(), "--out", folder, ...network, ...run, "--quiet"];
  // It is killed when something was saved and the log has some more steps.
  const { signal, stderr } = await runInChild(`
    import { existsSync, readFileSync } from "node:fs";
    import { runCli } from "./src/cli/index.js";
    const latest = ${JSON.stringify(join(folder, "checkpoint-latest.safetensors"))};
    let saved = 0;
    setInterval(() => {
      if (!existsSync(latest)) return;
      const steps = readFileSync(${JSON.stringify(join(folder, "log.jsonl"))}, "utf8").split('"step","').length;
      saved ||= steps;
      if (steps > saved + 1) process.kill(process.pid, "SIGKILL");
    }, 5);
    await runCli(${JSON.stringify(args)});
  `);
  expect(signal, stderr).toBe("SIGKILL");
  const before = entriesOf(folder).filter(({ type }) => type === "step").length;
  expect(before).toBeLessThan(21);
  const ran = await sdmae("train", "--out", folder, "--resume", "--adapter", testAdapter, "--quiet");
  expect(ran).toMatchObject({ code: 0 });
  for (const name of ["latest", "best", "best-student"].map((kind) => `checkpoint-${kind}.safetensors`)) {
    expect(stateOf(folder, name)).toEqual(stateOf(at("whole"), name));
  }
  expect(readFileSync(join(folder, "model.safetensors"))).toEqual(readFileSync(at("whole/model.safetensors")));
  const losses = (of: string) => {
    // Repeated steps are listed twice; the later one counts.
    const steps = entriesOf(of).filter(({ type }) => type === "step");
    return new Map(steps.map(({ step, loss }) => [step, loss]));
  };
  expect(losses(folder)).toEqual(losses(at("whole")));
  // No half-written file remains.
  expect(filesIn(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

it("finds a threshold on videos that are kept apart, which score finds", async () => {
  mkdirSync(at("camera"), { recursive: true });
  // A frame a second.
  const slow = ["-vf", "setpts=10*PTS", "-r", "1", "-c:v", "libx264"];
  for (const name of ["one", "two", "three", "four"]) await videoFile(at(`camera/${name}.mp4`), 61, ...slow);
  const folder = at("watched");
  const few = ["--epochs", "1", "--teacher-epochs", "1", "--epoch-samples", "8"];
  const short = [...network, ...few, "--adapter", testAdapter];
  const ran = await sdmae("train", "--dataset", "folder", "--root", at("camera"), "--out", folder, ...short);
  expect(ran.stderr).not.toMatch(/error/);
  const lines = ran.stdout.trim().split("\n");
  const [line, ...support] = lines.slice(lines.findIndex((one) => one.startsWith("model: ")) + 1);
  expect(line).toMatch(/^threshold [\d.e-]+ for 1 alarm per day$/);
  expect(support[0]).toMatch(/^the normal video raises 0 alarms at this threshold, in 1 min/);
  const model = join(folder, "model.safetensors");
  const stored = JSON.parse(readFileSync(`${model}.calibration.json`, "utf8"));
  expect(stored).toMatchObject({ seconds: 60, videos: ["three.mp4"] });
  // It belongs to the model as it is usually scored.
  const scored = await sdmae(
    "score",
    at("camera/one.mp4"),
    "-c",
    model,
    "--events",
    at("watched.csv"),
    "--adapter",
    testAdapter,
  );
  expect(scored.stderr).toContain(`threshold ${line!.split(" ")[1]}`);
  expect(scored.code).toBe(0);
});

it("chooses by pseudo-anomalies in videos that are kept apart, and says how it found them", async () => {
  await walkers(at("walkers"));
  const root = ["--root", at("walkers")];
  const folder = at("chosen");
  const short = ["--epochs", "2", "--teacher-epochs", "1", "--validation-share", "0.25", "--adapter", testAdapter];
  const ran = await sdmae("train", ...root, "--out", folder, ...network, ...short);
  expect(ran.stdout).toMatch(/^no threshold: the clips that were kept apart have no clock; /m);
  // The page says so too.
  expect(readFileSync(join(folder, "log.jsonl"), "utf8")).toContain('"note","text":"no threshold: the clips');
  const figures =
    "pseudo-anomalies: AUC [\\d.]+, found [\\d.]+ \\(worst: [a-z-]+, AUC [\\d.]+, found [01] of 1\\), scored by [a-z-]+.*";
  expect(ran.stderr).toMatch(new RegExp(`^epoch 1: ${figures}, the best so far$`, "m"));
  // Labels are measured, but choose nothing.
  expect(ran.stderr).toMatch(/^epoch 1: micro-AUC [\d.]+, macro-AUC [\d.]+$/m);
  expect(ran).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      new RegExp(
        `^best teacher: epoch 1, ${figures}; best student: epoch 2, ${figures}\nfound of each kind: fast [01] of 1, .*\nmodel: `,
      ),
    ),
  });
  expect(filesIn(folder)).toContain("checkpoint-best-student.safetensors");
  const entries = entriesOf(folder);
  expect(entries.filter(({ type }) => type === "test").map(({ best }) => best)).toEqual([false, false]);
  // The line of three maskings, if they are better, replaces that of the same epoch.
  const lines = entries.filter(({ type }) => type === "validation");
  const rated = [...new Map(lines.map((line) => [line.epoch, line])).values()];
  expect(rated.map(({ epoch, stage, best }) => [epoch, stage, best])).toEqual([
    [1, 1, true],
    [2, 2, true],
  ]);
  // Three videos of 12 frames remain. Eight frames are too few for time to run twice as fast.
  expect(entries.filter(({ type }) => type === "step").length).toBe(2 * Math.floor(36 / 4));
  const kinds = validationKinds.filter((kind) => kind !== "speed-up");
  for (const { kinds: rows } of rated) {
    expect((rows as { kind: string; events: number }[]).map(({ kind, events }) => [kind, events])).toEqual(
      kinds.map((kind) => [kind, 1]),
    );
  }
  // The model says how it is scored: as the better one of both was.
  const [teacher, student] = rated as { figure: number; way: { scoring: string; tokens: string } }[];
  const { scoring, tokens } = (student!.figure > teacher!.figure ? student : teacher)!.way;
  const path = join(folder, "model.safetensors");
  const { tested } = openCheckpoint([{ name: path, bytes: readFileSync(path) }]).settings;
  expect(tested).toMatchObject({ scoring, tokens, normalize: false });
  // Three maskings are tried at the end.
  expect([1, 3]).toContain(tested?.maskings);

  const resumed = ["train", "--out", folder, "--resume", "--quiet", "--adapter", testAdapter];
  expectRefusal(await sdmae(...resumed, "--validation-share", "0.5"), "validation.share was 0.25, not 0.5");
  expectRefusal(await sdmae(...resumed, ...byLabels), "validation.select was validation, not labels");
  // The videos were moved. Nothing is left to do, and the run says again how it was rated.
  renameSync(at("walkers"), at("walked"));
  expectRefusal(await sdmae(...resumed), `${at("walkers")} is not a folder`);
  const files = () => filesIn(folder).map((name) => [name, readFileSync(join(folder, name))]);
  const before = files();
  const again = await sdmae(...resumed, "--root", at("walked"));
  expect(again).toMatchObject({ code: 0, stderr: "" });
  expect(again.stdout).toBe(ran.stdout.replace(/^no threshold: .*\n/m, ""));
  expect(files()).toEqual(before);
  const moved = [...resumed, "--root", at("walked")];
  expectRefusal(await sdmae(...moved, "--dataset", "ped2"), "--dataset has no effect with --resume");
  expect(await sdmae(...moved, "--dataset", "folder")).toMatchObject({ code: 0 });
});

it("starts from the bundled model with --small, unless told otherwise", async () => {
  await walkers(at("street"));
  const short = ["--small", "--epochs", "1", "--epoch-samples", "8", "--anomalies", "none", "--adapter", testAdapter];
  const args = ["train", "--root", at("street"), ...short, ...byLabels];
  const [from, fresh] = [
    await sdmae(...args, "--out", at("from")),
    await sdmae(...args, "--out", at("fresh"), "--init", "none"),
  ];
  expect([from, fresh]).toMatchObject([{ code: 0 }, { code: 0 }]);
  expect(from.stderr).toMatch(
    /^starts from the weights of .*models\/scene\.safetensors \(--init none: from fresh ones\)$/m,
  );
  expect(fresh.stderr).not.toContain("starts from");
  const lossOf = (folder: string) => entriesOf(at(folder)).find(({ type }) => type === "step")!.loss as number;
  expect(lossOf("from")).toBeLessThan(0.8 * lossOf("fresh"));
  const other = ["--out", at("other"), "--width", "64"];
  expectRefusal(await sdmae(...args, ...other), "--width 128 instead of 64; --init none: from fresh weights");
  const resumed = ["train", "--out", at("from"), "--resume"];
  expectRefusal(await sdmae(...resumed, "--small"), "epochs was 1, not 12");
  expect(await sdmae(...resumed, ...short, ...byLabels)).toMatchObject({ code: 0 });
  expectRefusal(await sdmae(...resumed, "--init", "none"), "--init has no effect with --resume");
});

it("names the last good checkpoint if the loss becomes NaN", async () => {
  const folder = at("diverged");
  const args = ["train", ...data(), "--out", folder, ...network, ...run, "--quiet"];
  const ran = await sdmae(
    ...args,
    "--lr",
    "10",
    "--betas",
    "0,0",
    "--eps",
    "1e-30",
    "--epochs",
    "50",
    "--teacher-epochs",
    "50",
  );
  expect(ran).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^error: the loss is (NaN|Infinity|-Infinity) at step \d+, in epoch \d+: .*lower learning rate.*; (the last good checkpoint is .*checkpoint-latest.safetensors, of step \d+|no checkpoint was written yet)\n$/,
    ),
  });
  expect(readFileSync(join(folder, "curves.js"), "utf8")).toMatch(/"state":"failed"/);
});

it("starts in the folder of a run that failed early, and says if only a teacher is trained", async () => {
  const folder = at("again");
  mkdirSync(folder);
  writeFileSync(join(folder, "log.jsonl"), '{"type":"note","text":"of a start that failed"}\n');
  const ran = await sdmae(
    "train",
    ...data(),
    "--out",
    folder,
    ...network,
    "--epochs",
    "1",
    "--teacher-epochs",
    "1",
    "--adapter",
    testAdapter,
  );
  expect(ran.code).toBe(0);
  expect(ran.stderr).toMatch(/epochs: 1 of the teacher, none of the student \(it is not trained\)/);
  // Nothing is kept apart of two short videos.
  expect(ran.stderr).toMatch(
    /^warning: no epoch is chosen, the last one is kept, which nothing rates: no training clip is long enough to keep 60 frames of it apart for validation; ten minutes of video are advised$/m,
  );
  expect(ran.stdout).toMatch(/^no epoch was chosen, the last one is kept; loss of the last epoch: [\d.]+\nmodel: /);
  expect(ran.stdout).toMatch(/^no threshold: no clip was kept apart; `sdmae calibrate` makes one from/m);
  expect(entriesOf(folder)[0]).toMatchObject({ type: "run" });
  const scored = (...options: string[]) =>
    sdmae(
      "score",
      at("data/test/frames/01"),
      "-c",
      join(folder, "model.safetensors"),
      "--adapter",
      testAdapter,
      ...options,
    );
  const mean = ["--frame-score", "mean", "--tokens", "all"];
  const alone = await scored(...mean);
  expect(alone.stderr).toMatch(/^this model has no trained student: the column student_error means nothing/m);
  for (const row of alone.stdout.trim().split("\n").slice(1)) {
    const [target, score] = row.split(",").slice(-2);
    expect(score).toBe(target);
  }
  expect((await scored(...mean, "--score", "sum")).stderr).toMatch(/^warning: this model has no trained student/m);
});

it("refuses options and data that do not work, alone or together, and says why", async () => {
  const out = ["--out", at("refused")];
  const refused = async (message: string, ...args: string[]) => {
    expectRefusal(await sdmae("train", ...args, "--quiet", "--adapter", testAdapter), message);
    // No file remains.
    expect(existsSync(at("refused"))).toBe(false);
  };
  await refused("give the data set's folder with --root DIR", ...out);
  await refused("--dataset scene has no files", ...out, "--dataset", "scene", ...data());
  await refused("holds no run to continue", ...out, "--resume");
  // Node's recursive mkdir would never end there.
  const nowhere = "/proc/sdmae/run";
  if (process.platform === "linux") await refused("cannot be written", "--out", nowhere, ...data(), ...network);
  // Before an adapter is opened, and before the first epoch.
  mkdirSync(at("mislabelled"));
  symlinkSync(at("data/train"), at("mislabelled/train"));
  mkdirSync(at("mislabelled/test/labels"), { recursive: true });
  symlinkSync(at("data/test/frames"), at("mislabelled/test/frames"));
  writeFileSync(at("mislabelled/test/labels/01.txt"), "0\n1\n");
  const mislabelled = ["--root", at("mislabelled"), "--adapter", "no such adapter"];
  await refused("01.txt has 2 labels, but its video has 6 frames", ...out, ...network, ...mislabelled);
  await refused("fewer than a batch of 30", ...out, ...data(), ...network, "--batch", "30");
  const scene = ["--dataset", "scene", "--size", "64x96"];
  await refused(
    "mask ratio 0.11 leaves no grid at 64x96 (it keeps 21 of 24 tokens, not 4 rows of 5)",
    ...out,
    ...scene,
    "--mask-ratio",
    "0.11",
  );
  await refused(": use --mask-ratio 0.3, or --size 64x", ...out, ...scene, "--mask-ratio", "0.4");
  await refused(
    "the width of the encoder, 33, is not a multiple of 16",
    ...out,
    ...data(),
    ...network,
    "--width",
    "33",
  );
  await refused("each of 3 attention heads takes a multiple of 4", ...out, ...data(), ...network, "--heads", "3");
  const init = ["--init", at("whole/model.safetensors"), "--width", "32"];
  await refused(
    "the checkpoint is of another network: --width 16 instead of 32",
    ...out,
    ...data(),
    ...network,
    ...init,
  );
  const shares = ["--speedup", "0.6", "--drawn", "0.3", "--pieces", "0.2"];
  await refused(
    "--speedup 0.6, --drawn 0.3 and --pieces 0.2 are shares: their sum is above 1",
    ...out,
    ...data(),
    ...shares,
  );
  await refused(
    "--select <by>' argument 'best' is invalid. Allowed choices are validation, labels",
    "--select",
    "best",
  );
  for (const share of ["0", "0.6", "x"]) {
    await refused(`'${share}' is invalid. Give a number from 0.01 to 0.5`, "--validation-share", share);
  }
  const usual = [...out, ...data(), ...network];
  const none = [...usual, ...byLabels];
  const anomaly = ["--frame-score", "anomaly-map", "--score", "student"];
  await refused("--speedup has no effect with --anomalies none", ...none, "--speedup", "0.3");
  await refused("--anomaly-share has no effect with --anomalies none", ...none, "--anomaly-share", "0.3");
  await refused("--speedup has no effect with --anomalies files", ...none, "--anomalies", "files", "--speedup", "0.3");
  await refused("--loss-floor has no effect with --loss masked", ...none, "--loss", "masked", "--loss-floor", "8");
  await refused("--validation-share has no effect with --select labels", ...none, "--validation-share", "0.3");
  for (const option of [
    ["--score", "student"],
    ["--frame-score", "top-k"],
    ["--maskings", "2"],
  ]) {
    const says = `${option[0]} has no effect because validation chooses how frames are scored: add --select labels`;
    await refused(says, ...usual, ...option);
  }
  await refused("--scene-seeds has no effect without --dataset scene", ...none, "--scene-seeds", "1-3");
  await refused("--maskings 2 has no effect", ...none, "--masking", "gradient", "--maskings", "2");
  await refused("--score has no effect, because the frame score anomaly-map uses no errors", ...none, ...anomaly);
  for (const option of [
    ["--score", "sum"],
    ["--teacher", "latest"],
  ]) {
    await refused(`${option[0]} has no effect without a student`, ...none, "--teacher-epochs", "3", ...option);
  }
  await refused("stage 2 is over removed tokens, and mask ratio 0 removes none", ...none, "--mask-ratio", "0");
  await refused("does not divide into patches", ...out, ...data(), ...network, "--size", "30x64");
  await refused(
    "teacher epochs 4 (stage 1) are more than epochs 3",
    ...out,
    ...data(),
    ...network,
    "--teacher-epochs",
    "4",
  );
  await refused("has no train/frames_abnormal", ...out, ...data(), ...network, "--anomalies", "files");
  const page = () => ["curves.js", "log.jsonl"].map((name) => readFileSync(join(at("whole"), name), "utf8"));
  const before = page();
  await refused(
    "a run is resumed with the settings that it began with; optimizer.learningRate was 0.001, not 0.5",
    "--out",
    at("whole"),
    "--resume",
    "--lr",
    "0.5",
  );
  expect(page()).toEqual(before);
});
