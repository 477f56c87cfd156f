import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { sdmae } from "../../support/cli.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();

it("the demo finds the anomalies of a street that its model has not seen, far better than motion alone", {
  timeout: 400_000,
}, async () => {
  const ran = await sdmae(
    "demo",
    "--seed",
    "4242",
    "--frames",
    "70",
    "--report",
    at("report"),
    "--adapter",
    testAdapter,
  );
  expect(ran.code).toBe(0);
  const [, auc, motion] =
    /micro-AUC \(all frames together\): ([\d.]+) %; the largest motion alone would get ([\d.]+) %/.exec(
      ran.stdout,
    ) as unknown as [string, string, string];
  expect(Number(auc)).toBeGreaterThanOrEqual(95);
  expect(Number(auc)).toBeGreaterThan(Number(motion) + 10);
  const report = readFileSync(at("report/index.html"), "utf8");
  expect(report.match(/"about":"[a-z, ]+"/g)).toEqual(
    ["runner", "bicycle", "cart", "thrown object, bicycle"].map((about) => `"about":"${about}"`),
  );
});
