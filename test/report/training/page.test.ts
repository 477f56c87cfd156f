import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { LogEntry, StepEntry } from "../../../src/node/files/training_log.js";
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
      ["batch", "16"],
      ["optimizer.betas", "0.9, 0.95"],
      ["root", hostile],
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

  /** Whether a column of the loss plot, at 0…1 of its width, has a colour. */
  const hasColour = (browser: Chromium, part: number, [r, g, b]: readonly number[]) =>
    browser.evaluate<boolean>(`(() => {
      const [canvas, over] = ["#loss .plot canvas", "#loss .u-over"].map((s) => document.querySelector(s));
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

  test.for(["light", "dark"] as const)("on a phone nothing is wider than the screen: %s", async (scheme, { skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const page = await TrainingPage.open(at(), "phone");
    await page.update(runOf(400, 21), { state: "done", text: "200 epochs" });
    const browser = await open(360, scheme);
    await expect.poll(() => textOf(browser, ".status"), { timeout: 10_000 }).toContain("Done");
    expect(await browser.evaluate("[document.documentElement.scrollWidth, innerWidth]")).toEqual([360, 360]);
    // Nor is the table.
    expect(
      await browser.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('.scroll'))",
      ),
    ).toBe(0);
    const body = await browser.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(body).toBe(scheme === "light" ? "rgb(244, 246, 248)" : "rgb(18, 21, 26)");
    expect(browser.complaints()).toEqual([]);
  });
});
