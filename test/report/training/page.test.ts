import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { validationKinds } from "../../../src/data/anomalies/validation_anomaly.js";
import type { LogEntry, RunEntry, StepEntry, ValidationEntry } from "../../../src/node/files/training_log.js";
import { uniformGenerator } from "../../../src/random.js";
import type { TrainingData } from "../../../src/report/training/data.js";
import { runningMeans } from "../../../src/report/training/page/running_mean.js";
import { TrainingPage, type TrainingState } from "../../../src/report/training/page_file.js";
import { duration } from "../../../src/report/web/format.js";
import { Chromium, chromiumMissing } from "../../support/chromium.js";
import { scratch } from "../../support/folders.js";

const hostile = "</script><script>hacked=1</script><img src=x onerror=hacked=1>\u2028<!--&amp;";
const running: TrainingState = { state: "running", text: `training ${hostile}`, epoch: 2, epochs: 9, secondsLeft: 100 };

/** A run of steps, with tests. @param secondStage the epoch in which it begins */
function runOf(steps: number, secondStage = Infinity, epochSteps = 10): LogEntry[] {
  const random = uniformGenerator(7);
  const log: LogEntry[] = [
    {
      type: "run",
      time: "2026-01-02T03:04:05.678Z",
      title: hostile,
      settings: { batch: 16, optimizer: { betas: [0.9, 0.95] }, root: hostile },
      adapter: "an adapter",
      versions: { sdmae: "0.1.0" },
    },
  ];
  for (let step = 1; step <= steps; step++) {
    const epoch = Math.ceil(step / epochSteps);
    const stage = epoch < secondStage ? 1 : 2;
    const loss = (1 + random()) / stage ** 8;
    const speed = { learningRate: 1e-4 * (1 + random()), samplesPerSecond: 40 + random(), seconds: step / 2 };
    log.push({ type: "step", epoch, stage, step, loss, ...speed });
    if (step % epochSteps > 0) continue;
    log.push({ type: "epoch", epoch, stage, loss: 1.5, seconds: step / 2, steps: epochSteps });
    const microAuc = 0.8 + 0.001 * epoch;
    log.push({ type: "test", epoch, stage, microAuc, macroAuc: 0.95, best: true, seconds: step / 2 });
  }
  return log;
}

const kinds = validationKinds.map((kind, i) => ({ kind, auc: 0.99 - i / 100, events: 4, found: i < 12 ? 4 : 3 }));
const way = {
  ...{ scoring: "top-anomaly", tokens: "all", topK: 3, rule: "teacher", minMotion: 0 },
  ...{ smoothing: { kind: "gaussian", sigma: 4 }, maskings: 1 },
};
/** By stage, figures of which the third and the sixth are the best of their stage. */
const figures = [0.5, 0.61, 0.72, 0.7, 0.69, 0.81, 0.8, 0.79];

/** Eight epochs that were validated, three of them the student's, and tested. */
function validatedRun(select: "validation" | "labels" = "validation"): LogEntry[] {
  let best = [0, 0, 0];
  return runOf(80, 6).flatMap((entry): LogEntry[] => {
    if (entry.type === "run") return [{ ...entry, settings: { validation: { select, share: 0.2 } } }];
    if (entry.type !== "test") return [entry];
    if (select === "labels") return [{ ...entry, best: entry.epoch !== 5 }];
    const { epoch, stage, seconds } = entry;
    const figure = figures[epoch - 1];
    const isBest = figure > best[stage];
    if (isBest) best = best.with(stage, figure);
    const disturbances = [{ disturbance: "night", falseAlarms: epoch / 100 }];
    // Each epoch has another kind that is told worst, and another smoothing.
    const own = kinds.map((one, i) => (i === epoch ? { ...one, auc: 0.25, found: 0 } : one));
    const rating = { figure, auc: figure + 0.1, found: figure - 0.1, worst: validationKinds[epoch] };
    const scored = { way: { ...way, smoothing: { kind: "gaussian", sigma: epoch } }, kinds: own, disturbances };
    const validation: ValidationEntry = {
      ...{ type: "validation", epoch, stage, ...rating, ...scored, best: isBest, seconds },
    };
    return [validation, { ...entry, best: false }];
  });
}

const at = scratch();

/** What curves.js gives to the page. */
function said(): TrainingData {
  let data: TrainingData | undefined;
  const trainingCurves = (given: TrainingData) => {
    data = JSON.parse(JSON.stringify(given)) as TrainingData;
  };
  runInNewContext(readFileSync(at("curves.js"), "utf8"), { trainingCurves });
  return data!;
}

describe("as text", () => {
  let page: TrainingPage;
  beforeEach(async () => {
    page = await TrainingPage.open(at(), `Training ${hostile}`);
  });

  test("the page loads scripts from its folder, and nothing else", async () => {
    const html = readFileSync(at("index.html"), "utf8");
    const policy = /Content-Security-Policy" content="(.*?)"/.exec(html)![1];
    expect(policy).toMatch(
      /^default-src 'none'; img-src data:; script-src 'sha256-[^']*' 'self' file:; style-src 'sha256-[^']*'; base-uri 'none'; form-action 'none'$/,
    );
    expect(html.match(/<script/g)).toHaveLength(1);
    expect(html.match(/<img|<!--/g)).toBeNull();
    expect(html.match(/\b(?:src|href|action|data)\s*=\s*["'](?!data:)/)).toBeNull();
    expect(new Set(html.match(/https?:\/\/[^"'\s]*/g) ?? [])).toEqual(new Set());
    expect(html.includes("Permission is hereby granted, free of charge")).toBe(true);
  });

  test("a short run: every step, test, note and setting", async () => {
    const note: LogEntry = { type: "note", text: hostile };
    const log = [...runOf(20, 2), note, note];
    (log[3] as { loss: number }).loss = Number.NaN;
    await page.update(log, running);
    const { updated, state, steps, epochs, tests, notes, facts } = said();
    expect(Math.abs(Date.parse(updated) - Date.now())).toBeLessThan(10_000);
    expect(state).toEqual(running);
    const digits = (value: number) => (Number.isFinite(value) ? Number(value.toPrecision(6)) : null);
    const wanted = log
      .filter((entry): entry is StepEntry => entry.type === "step")
      .map(({ step, stage, epoch, loss, learningRate, samplesPerSecond, seconds }) => {
        const losses = [loss, loss, loss].map(digits);
        return [step, step, stage, epoch, ...losses, digits(learningRate), digits(samplesPerSecond), seconds];
      });
    expect(wanted).toHaveLength(20);
    expect(steps).toEqual(wanted);
    expect(epochs).toEqual(log.filter(({ type }) => type === "epoch"));
    expect(tests).toEqual(log.filter(({ type }) => type === "test"));
    expect(notes).toEqual([hostile]);
    expect(facts).toEqual([
      ["started", "2026-01-02 03:04:05 UTC"],
      ["adapter", "an adapter"],
      ["--batch", "16"],
      ["--betas", "0.9, 0.95"],
      ["--root", hostile],
      ["sdmae", "0.1.0"],
    ]);
    expect(readdirSync(at()).sort()).toEqual(["curves.js", "index.html"]);
  });

  test("a long run: means of neighbours of one stage, the same if read at once or bit by bit", async () => {
    const log = runOf(10_007, 1502, 4);
    await page.update(log, running);
    const { steps, tests, epochs } = said();
    const growing: LogEntry[] = [];
    const follower = await TrainingPage.open(at(), "grows");
    for (let from = 0; from < log.length; from += 1234) {
      growing.push(...log.slice(from, from + 1234));
      await follower.update(growing, running);
    }
    expect(said().steps).toEqual(steps);

    expect(steps.length).toBeLessThanOrEqual(2000);
    expect(steps.length).toBeGreaterThan(1000);
    const all = log.filter((entry): entry is StepEntry => entry.type === "step");
    let next = 1;
    for (const [first, last, stage, epoch, loss, low, high, rate, speed, seconds] of steps) {
      expect(first).toBe(next);
      next = last + 1;
      const own = all.slice(first - 1, last);
      expect(new Set(own.map((step) => step.stage))).toEqual(new Set([stage]));
      const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
      const losses = own.map((step) => step.loss);
      const expected = [
        mean(losses),
        Math.min(...losses),
        Math.max(...losses),
        mean(own.map((step) => step.learningRate)),
        mean(own.map((step) => step.samplesPerSecond)),
        own.at(-1)!.seconds,
      ];
      for (const [i, value] of [loss, low, high, rate, speed, seconds].entries()) {
        expect(Math.abs(value! / expected[i] - 1)).toBeLessThan(6e-6);
      }
      expect(epoch).toBe(own.at(-1)!.epoch);
    }
    expect(next).toBe(10_008);
    // The last test of each stage was its best.
    expect(tests.length).toBeLessThanOrEqual(2000);
    expect(tests.map(({ epoch }) => epoch)).toEqual(expect.arrayContaining([1501, 2501]));
    expect(epochs.length).toBeLessThanOrEqual(2000);
    expect(epochs.at(-1)!.epoch).toBe(2501);
  });

  test("validations: their figures, and of the best one how frames are scored and the kinds", async () => {
    await page.update(validatedRun(), running);
    const { select, validations, chosen, tests } = said();
    expect(select).toBe("validation");
    expect(validations.map(({ figure }) => figure)).toEqual(figures);
    expect(validations.map(({ epoch, best }) => best && epoch)).toEqual([1, 2, 3, false, false, 6, false, false]);
    expect(validations[3]).toEqual({
      ...{ epoch: 4, stage: 1, figure: 0.7, auc: 0.8, found: 0.6, worst: "scooter", best: false, seconds: 20 },
    });
    expect(chosen).toMatchObject({ epoch: 6, stage: 2, disturbances: [{ disturbance: "night", falseAlarms: 0.06 }] });
    expect(chosen!.way).toEqual({
      ...{ scoring: "top-anomaly", tokens: "all", topK: 3, rule: "teacher" },
      ...{ smoothing: { kind: "gaussian", sigma: 6 }, maskings: 1 },
    });
    expect(chosen!.kinds.filter(({ found }) => found === 0).map(({ kind }) => kind)).toEqual(["standing"]);
    expect(tests).toHaveLength(8);
  });

  test("of both stages the higher figure says how frames are scored, of equal ones the teacher's", async () => {
    const log = validatedRun();
    const student = log.find((entry) => entry.type === "validation" && entry.epoch === 6) as ValidationEntry;
    for (const [figure, epoch] of [
      [0.72, 3],
      [0.7200000001, 6],
      [0.6, 3],
    ]) {
      student.figure = figure;
      await page.update([...log], running);
      expect(said().chosen!.epoch).toBe(epoch);
    }
  });

  test.for<[settings: RunEntry["settings"], select: string]>([
    [{ validation: { select: "validation" } }, "validation"],
    [{ validation: { select: "labels" } }, "labels"],
    // A version that could only choose by labels, and settings that nobody wrote.
    [{}, "labels"],
    [{ validation: null }, "labels"],
    [{ validation: "validation" }, "labels"],
  ])("what chooses is in the settings: %j", async ([settings, select]) => {
    await page.update([{ ...(runOf(0)[0] as RunEntry), settings }], running);
    expect(said().select).toBe(select);
    expect(said()).not.toHaveProperty("chosen");
  });

  test("a long run keeps the best validations and the tests of their epochs", async () => {
    const [best, chosen] = [1235, 4321];
    const long = Array.from({ length: 5000 }, (_, i): LogEntry[] => {
      const [epoch, stage] = [i + 1, i < 2500 ? 1 : 2];
      const rating = { figure: 0.5, auc: 0.5, found: 0.5, worst: "stop", way, kinds, disturbances: [] };
      const isBest = epoch === best || epoch === chosen;
      return [
        { type: "validation", epoch, stage, ...rating, best: isBest, seconds: epoch },
        { type: "test", epoch, stage, microAuc: 0.9, best: false, seconds: epoch },
      ];
    }).flat();
    await page.update([...validatedRun().slice(0, 1), ...long], running);
    const { validations, tests } = said();
    for (const list of [validations, tests]) {
      expect(list.length).toBeLessThanOrEqual(2000);
      expect(list.map(({ epoch }) => epoch)).toEqual(expect.arrayContaining([best, chosen, 5000]));
    }
    expect(readFileSync(at("curves.js")).length).toBeLessThan(600_000);
  });

  test("another log starts from the beginning", async () => {
    await page.update(runOf(500), running);
    await page.update(runOf(30), running);
    expect(said().steps.map(([first]) => first)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(said().tests).toHaveLength(3);
  });

  test("an update of a long log is cheap", async () => {
    const log = runOf(100_000, 100, 500);
    await page.update(log, running);
    expect(readFileSync(at("curves.js")).length).toBeLessThan(200_000);
    const last = log.at(-3) as StepEntry;
    const times = [];
    for (let step = last.step + 1; step < last.step + 10; step++) {
      log.push({ ...last, step });
      const before = performance.now();
      await page.update(log, running);
      times.push(performance.now() - before);
    }
    // A hundredth of this is usual. Reading the whole log again would take longer.
    expect(Math.min(...times)).toBeLessThan(30);
  });
});

test("running means are sums over the last steps", () => {
  const random = uniformGenerator(3);
  const values = Array.from({ length: 50 }, (_, i) => (i % 7 === 3 ? null : random()));
  const ones = values.map(() => 1);
  const means = runningMeans(values, ones, 10);
  for (const [i, mean] of means.entries()) {
    if (values[i] === null) {
      expect(mean).toBeNull();
      continue;
    }
    const window = values
      .slice(0, i + 1)
      .filter((value) => value !== null)
      .slice(-10);
    expect(mean).toBeCloseTo(window.reduce((sum, value) => sum + value, 0) / window.length, 12);
  }
  // A point of three steps counts as three points do.
  expect(runningMeans([1, 2], [1, 3], 100)[1]).toBeCloseTo((1 + 2 + 2 + 2) / 4, 12);
  expect(runningMeans([5, 1, 2], [1, 1, 3], 3)).toEqual([5, 3, 2]);
});

test("durations", () => {
  const seconds = [null, 0, 0.4, 59.4, 59.6, 61, 3599.6, 3600, 5400, 7199, 86_400, 93_784, 8_640_000];
  expect(seconds.map(duration)).toEqual([
    "\u2013",
    "0 s",
    "0 s",
    "59 s",
    "1 min",
    "1 min 1 s",
    "1 h",
    "1 h",
    "1 h 30 min",
    "2 h",
    "1 d",
    "1 d 2 h",
    "100 d",
  ]);
});

describe("in a browser", () => {
  let chromium: Chromium | undefined;

  beforeAll(async () => {
    if (chromiumMissing) return;
    chromium = new Chromium();
    await chromium.page();
    // The page waits for new data a tenth of the time.
    await chromium.send("Page.addScriptToEvaluateOnNewDocument", {
      source: "{ const { setTimeout } = window; window.setTimeout = (call, wait) => setTimeout(call, wait / 10); }",
    });
    await chromium.goOffline();
  });

  afterAll(() => chromium?.close());

  async function open(width: number, scheme: "light" | "dark"): Promise<Chromium> {
    const browser = chromium!;
    await browser.look(width, scheme);
    await browser.open(pathToFileURL(at("index.html")).href);
    return browser;
  }

  const textOf = (browser: Chromium, selector: string) =>
    browser.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ""`);

  const asked = ({ events }: Chromium) =>
    events.filter(
      ({ method, params }) =>
        method === "Network.requestWillBeSent" && /curves\.js/.test((params.request as { url: string }).url),
    ).length;

  /** Whether a column of a section's plot, at 0…1 of its width, has a colour. */
  const hasColour = (browser: Chromium, part: number, [r, g, b]: readonly number[], section = "#loss") =>
    browser.evaluate<boolean>(`(() => {
      const [canvas, over] = [".plot canvas", ".u-over"].map((s) => document.querySelector("${section} " + s));
      const [c, o] = [canvas, over].map((e) => e.getBoundingClientRect());
      const x = Math.round(o.left - c.left + ${part} * o.width);
      const { data } = canvas.getContext("2d").getImageData(x, Math.round(o.top - c.top), 1, Math.round(o.height));
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] > 200 && [${r}, ${g}, ${b}].every((v, j) => Math.abs(v - data[i + j]) < 4)) return true;
      }
      return false;
    })()`);

  test("it follows the run, keeps the zoom, and stops loading when the run is over", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    rmSync(at("curves.js"), { force: true });
    const page = await TrainingPage.open(at(), `Training ${hostile}`);
    const log = runOf(200, 12);
    await page.update(log.slice(0, 37), running);
    const browser = await open(1280, "light");
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe(`Running${running.text}`);
    expect(await textOf(browser, "h1")).toBe(`Training ${hostile}`);
    expect(await textOf(browser, "#facts")).toContain(hostile);
    expect(await browser.evaluate("document.querySelectorAll('tbody tr').length")).toBe(3);
    const tiles = () =>
      browser.evaluate<string[]>("[...document.querySelectorAll('.tiles li')].map((tile) => tile.textContent)");
    // 31 steps of half a second: 15.5 s. The third test was the best, with 0.8 + 0.003.
    expect(await tiles()).toEqual([
      "Epoch2of 9",
      "Time left1 min 40 sestimated",
      "Time passed15 s30 steps",
      "Mean loss1.5in epoch 3; 1.5 in epoch 2",
      "Best teacher: micro-AUC80.30%in epoch 3; macro-AUC 95.00\u00a0%",
    ]);
    const part = await browser.evaluate<number>("document.querySelector('progress').value");
    expect(part).toBeCloseTo(15 / 115, 6);

    // A drag from a quarter to the half of the plot shows that part of the steps.
    const blue = [0x00, 0x67, 0xa5];
    const orange = [0xc2, 0x4e, 0x00];
    await page.update(log, running);
    await expect
      .poll(() => browser.evaluate("document.querySelectorAll('tbody tr').length"), { timeout: 10_000 })
      .toBe(20);
    expect([await hasColour(browser, 0.3, blue), await hasColour(browser, 0.3, orange)]).toEqual([true, false]);
    expect([await hasColour(browser, 0.8, blue), await hasColour(browser, 0.8, orange)]).toEqual([false, true]);
    // Axes come and go, which moves the plot, so its place is read each time.
    const mouse = async (type: string, at: number, clickCount = 1) => {
      const box = await browser.evaluate<{ x: number; y: number; width: number; height: number }>(
        `(() => { const over = document.querySelector("#loss .u-over"); over.scrollIntoView({ block: "center" });
          return over.getBoundingClientRect().toJSON(); })()`,
      );
      await browser.send("Input.dispatchMouseEvent", {
        type,
        x: box.x + at * box.width,
        y: box.y + box.height / 2,
        button: type === "mouseMoved" ? "none" : "left",
        buttons: 1,
        clickCount,
      });
    };
    const tip = () => textOf(browser, "#loss .tip");
    await mouse("mouseMoved", 0.25);
    // Steps 1 to 200 across the plot: a quarter is near step 51.
    expect(await tip()).toMatch(/^step 5[012]epoch [56], stage 1, 2[56] sloss 1\.\d+running mean 1\.\d+$/);
    await mouse("mousePressed", 0.25);
    await mouse("mouseMoved", 0.4);
    await mouse("mouseMoved", 0.5);
    await mouse("mouseReleased", 0.5);
    const shownAt = async (at: number) => {
      await mouse("mouseMoved", at);
      return Number(/^step (\d+)/.exec(await tip())?.[1]);
    };
    const near = async (middle: number) => expect(Math.abs((await shownAt(0.5)) - middle)).toBeLessThanOrEqual(1);
    await near(75.6);

    log.push(...runOf(300, 12).slice(log.length));
    await page.update(log, { ...running, epoch: 3 });
    await expect.poll(async () => (await tiles())[0], { timeout: 10_000 }).toBe("Epoch3of 9");
    await near(75.6);
    // With the other kind of axis too.
    await browser.evaluate("document.querySelector('#loss input').click()");
    await near(75.6);
    await mouse("mousePressed", 0.5);
    await mouse("mouseReleased", 0.5);
    await mouse("mousePressed", 0.5, 2);
    await mouse("mouseReleased", 0.5, 2);
    await near(150.5);

    expect(await browser.evaluate("typeof hacked")).toBe("undefined");
    const failed: TrainingState = { state: "failed", text: "the loss of step 301 is NaN", epoch: 3, epochs: 9 };
    await page.update(log, failed);
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe(`Failed${failed.text}`);
    expect(await browser.evaluate("document.querySelector('progress').checkVisibility()")).toBe(false);
    const count = asked(browser);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(asked(browser)).toBe(count);
    expect(browser.complaints()).toEqual([]);
  });

  test("both stages have a card of their best test", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "both stages");
    await page.update(runOf(40, 3), { state: "done", text: "finished" });
    const browser = await open(1280, "light");
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe("Donefinished");
    const names = "[...document.querySelectorAll('.tiles h3')].map((name) => name.textContent)";
    expect(await browser.evaluate(names)).toEqual([
      ...["Time passed", "Mean loss", "Best teacher: micro-AUC", "Best student: micro-AUC"],
    ]);
  });

  test("the table of tests shows all its columns beside the plot, or below it", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "tests");
    // Both stages, and a long time: the widest rows.
    const log = runOf(40, 3).map((entry) => (entry.type === "test" ? { ...entry, seconds: 12_345_678 } : entry));
    await page.update(log, { state: "done", text: "finished" });
    for (const width of [500, 800, 920, 1000, 1200, 1280]) {
      const browser = await open(width, "light");
      await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe("Donefinished");
      const sizes = await browser.evaluate<{ table: number; shown: number; plot: number; page: number[] }>(`(() => {
        const [table, { documentElement }] = [document.querySelector("#tests .scroll"), document];
        const plot = document.querySelector("#tests .plot canvas").getBoundingClientRect().width;
        const page = [documentElement.scrollWidth, documentElement.clientWidth];
        return { table: table.scrollWidth, shown: table.clientWidth, plot, page };
      })()`);
      expect(sizes.table, `at ${width}`).toBe(sizes.shown);
      expect(sizes.plot, `at ${width}`).toBeGreaterThan(250);
      expect(sizes.page[0], `at ${width}`).toBe(sizes.page[1]);
    }
  });

  test("it is drawn in a browser whose language Intl refuses", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "language");
    await page.update(runOf(40, 3), { state: "done", text: "finished" });
    try {
      await chromium!.setLanguage("en-US@posix");
      const browser = await open(1280, "light");
      await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe("Donefinished");
      expect(await hasColour(browser, 0.3, [0x00, 0x67, 0xa5])).toBe(true);
      expect(browser.complaints()).toEqual([]);
    } finally {
      await chromium!.setLanguage("en-US");
    }
  });

  const rowsOf = (browser: Chromium, selector: string) =>
    browser.evaluate<string[]>(
      `[...document.querySelectorAll(${JSON.stringify(`${selector} tbody tr`)})].map((row) => row.textContent)`,
    );
  const texts = (browser: Chromium, selector: string) =>
    browser.evaluate<string[]>(
      `[...document.querySelectorAll(${JSON.stringify(selector)})].map((one) => one.textContent)`,
    );

  test("validations have curves, cards, the way of scoring and a table by kind", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "validated");
    await page.update(validatedRun(), { state: "done", text: "finished" });
    const browser = await open(1280, "light");
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe("Donefinished");
    const cards = (await texts(browser, ".tiles li")).filter((text) => text.startsWith("Best"));
    expect(cards).toEqual([
      "Best teacher, validation72.00%in epoch\u00a03; AUC\u00a082.00\u00a0%, found\u00a062.00\u00a0%",
      "Best student, validation81.00%in epoch\u00a06; AUC\u00a091.00\u00a0%, found\u00a071.00\u00a0%",
    ]);
    expect(await textOf(browser, ".way")).toBe(
      "Chosen: epoch 6, student. A frame's score is the mean of the 3 largest values of the predicted anomaly map, " +
        "smoothed over time by a Gaussian of 6 frames, with one masking per frame.",
    );
    // The seventh kind is told worst in epoch 6, then the two of which an event is not found.
    const rows = await rowsOf(browser, ".kinds.all");
    expect(rows).toHaveLength(14);
    expect(rows.slice(0, 4)).toEqual([
      "standinga pole with a sign stands in the way25.000 of 4",
      "loopa few frames repeat in one place86.003 of 4",
      "backwardstime runs backwards in one place87.003 of 4",
      "stoptime stands still in one place88.004 of 4",
    ]);
    expect(rows.at(-1)).toBe("fastsomebody moves much too fast99.004 of 4");
    expect(await texts(browser, ".missed")).toEqual(["0 of 4"]);
    expect(await rowsOf(browser, ".kinds:not(.all)")).toEqual(["nightdark and pale, with some noise6.00"]);

    // The labels have no part in this; what they measure stands apart.
    expect(await textOf(browser, "#tests .about")).toMatch(/^Measured, not used to choose: /);
    expect(await texts(browser, "#tests .key li")).toContain("epoch that validation chose");
    expect(await texts(browser, "#tests tr.best td:first-child")).toEqual(["6", "3"]);

    const tipAt = async (part: number) => {
      const box = await browser.evaluate<{ x: number; y: number; width: number; height: number }>(
        `(() => { const over = document.querySelector("#validation .u-over"); over.scrollIntoView({ block: "center" });
          return over.getBoundingClientRect().toJSON(); })()`,
      );
      const [x, y] = [box.x + part * box.width, box.y + box.height / 2];
      await browser.send("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
      return textOf(browser, "#validation .tip");
    };
    expect(await tipAt(0.001)).toBe(
      "epoch 1, stage 1figure 50.00 %AUC 60.00 %events found 40.00 %worst: speed-upbest so far",
    );
    expect(await tipAt(0.999)).toBe("epoch 8, stage 2figure 79.00 %AUC 89.00 %events found 69.00 %worst: odd-size");
    const [blue, orange] = [
      [0x00, 0x67, 0xa5],
      [0xc2, 0x4e, 0x00],
    ];
    // Epochs 3 and 6: curves of the teacher, then of the student, each with a ring.
    const ink = [0x17, 0x1c, 0x24];
    for (const [part, colours] of [
      [2 / 7, [true, false, true]],
      [3 / 7, [true, false, false]],
      [5 / 7, [false, true, true]],
      [6 / 7, [false, true, false]],
    ] as const) {
      const found = [blue, orange, ink].map((colour) => hasColour(browser, part, colour, "#validation"));
      expect(await Promise.all(found), `at ${part}`).toEqual(colours);
    }
    expect(browser.complaints()).toEqual([]);
  });

  test("while the run is running, and if the teacher alone scores, the page says so", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const log = validatedRun().filter((entry) => entry.type !== "validation" || entry.epoch !== 6);
    const student = log.find((entry) => entry.type === "validation" && entry.stage === 2) as ValidationEntry;
    Object.assign(student, { best: true, figure: 0.71 });
    const page = await TrainingPage.open(at(), "teacher");
    await page.update(log, running);
    const browser = await open(1280, "dark");
    await expect.poll(() => textOf(browser, ".way"), { timeout: 10_000 }).toMatch(/^Best so far: epoch 3, teacher\. /);
    expect(await textOf(browser, ".way")).toMatch(/No student has a higher figure, so the teacher alone scores\.$/);
    // Before the student's first validation there is nothing to compare.
    await page.update(
      log.filter((entry) => entry.type !== "validation" || entry.stage === 1),
      running,
    );
    await expect.poll(() => textOf(browser, ".way"), { timeout: 10_000 }).toMatch(/with one masking per frame\.$/);
    expect(await texts(browser, "#validation .key li")).not.toContain("student");
  });

  test("if labels of test videos choose, the page says so", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "labels");
    await page.update(validatedRun("labels"), { state: "done", text: "finished" });
    const browser = await open(1280, "light");
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe("Donefinished");
    expect(await textOf(browser, "#tests .about")).toMatch(/^Labels of test videos chose the epoch, as in papers/);
    expect(await texts(browser, "#tests .key li")).toContain("best test of a stage");
    expect(await texts(browser, "#tests tr.best td:first-child")).toEqual(["8", "4"]);
    expect(await browser.evaluate("document.querySelector('#validation').checkVisibility()")).toBe(false);
    expect((await texts(browser, ".tiles h3")).filter((text) => text.includes("validation"))).toEqual([]);
  });

  test("names in a validation stay text", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const names = { scoring: hostile, tokens: hostile, rule: hostile, smoothing: { kind: hostile } };
    const log = validatedRun().map((entry): LogEntry => {
      if (entry.type !== "validation") return entry;
      const own = [{ kind: hostile, auc: 0.5, events: 1e9, found: 0 }];
      const odd = { kinds: own, worst: hostile, disturbances: [{ disturbance: hostile, falseAlarms: 1 }] };
      return { ...entry, ...odd, way: { ...way, ...names } };
    });
    const page = await TrainingPage.open(at(), "hostile");
    await page.update(log, { state: "done", text: "finished" });
    const browser = await open(400, "light");
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe("Donefinished");
    expect(await rowsOf(browser, ".kinds.all")).toEqual([`${hostile}50.000 of 1000000000`]);
    expect(await textOf(browser, ".way")).toContain(hostile);
    expect(await browser.evaluate("typeof hacked")).toBe("undefined");
    expect(await browser.evaluate("[document.documentElement.scrollWidth, innerWidth]")).toEqual([400, 400]);
    expect(browser.complaints()).toEqual([]);
  });

  test("before the first data it says that it waits", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    rmSync(at("curves.js"), { force: true });
    const page = await TrainingPage.open(at(), "waits");
    const browser = await open(1280, "light");
    expect(await textOf(browser, ".status")).toContain("Waiting");
    expect(await browser.evaluate("[...document.querySelectorAll('section')].filter((s) => !s.hidden).length")).toBe(1);
    // No step yet, a first step, and no labels to test with.
    await page.update([], { state: "running", text: "reading the training set" });
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toBe("Runningreading the training set");
    await page.update(runOf(1), { state: "stopped", text: "by Ctrl-C: go on with --resume" });
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toContain("Stopped");
    const visible = "[...document.querySelectorAll('section')].filter((s) => !s.hidden).map((s) => s.id)";
    expect(await browser.evaluate(visible)).toEqual(["progress", "loss", "curves", "facts"]);
    expect(browser.events.filter(({ method }) => method === "Runtime.exceptionThrown")).toEqual([]);
  });

  test("a run without new data for long may have been killed", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "killed");
    await page.update(runOf(5), running);
    const path = at("curves.js");
    const old = new Date(Date.now() - 600_000).toISOString();
    writeFileSync(path, readFileSync(path, "utf8").replace(/"updated":"[^"]*"/, `"updated":"${old}"`));
    const browser = await open(1280, "light");
    await expect.poll(() => textOf(browser, ".news"), { timeout: 10_000 }).toMatch(/^No news for 10 min( \d s)?: /);
  });

  const phones = (["light", "dark"] as const).flatMap((scheme) =>
    (["tests", "validations"] as const).map((what) => [scheme, what] as const),
  );
  test.for(phones)("on a phone nothing is wider than the screen: %s, %s", async ([scheme, what], { skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "phone");
    const log = what === "tests" ? runOf(400, 21) : validatedRun();
    await page.update(log, { state: "done", text: "200 epochs" });
    const browser = await open(360, scheme);
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toContain("Done");
    expect(await browser.evaluate("[document.documentElement.scrollWidth, innerWidth]")).toEqual([360, 360]);
    // Nor are the tables.
    const wider =
      "[...document.querySelectorAll('.scroll, .kinds')].map(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)";
    expect(await browser.evaluate(wider)).toEqual([0, 0, 0]);
    const body = await browser.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(body).toBe(scheme === "light" ? "rgb(244, 246, 248)" : "rgb(18, 21, 26)");
    expect(browser.complaints()).toEqual([]);
  });
});
