import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { calibrationPage } from "../../../src/report/calibration/page_file.js";
import { type NormalLevels, thresholdFor } from "../../../src/watch/calibration.js";
import { Chromium, chromiumMissing } from "../../support/chromium.js";

const hostile = "</script><script>hacked=1</script><img src=x onerror=hacked=1><!--&amp;\"'";

/** Half an hour: minute i has one block of 5 s at i / 10, and eleven at 0.05. */
const normal: NormalLevels = {
  seconds: 1800,
  median: 0.05,
  blocks: Array.from({ length: 360 }, (_, i) => (i % 12 === 5 ? (Math.floor(i / 12) + 1) / 10 : 0.05)),
};

/** 96 a day are 2 in half an hour: the threshold lies between the second and the third peak. */
const seen = thresholdFor(normal, 96);
/** One a day is 48 times as rare as half an hour shows. */
const estimated = thresholdFor(normal, 1);

const pageOf = (found: typeof seen) =>
  calibrationPage({
    ...{ title: `Threshold ${hostile}`, created: "2026-01-02T03:04:05Z", normal, found },
    facts: [["normal video", hostile]],
  });

/** The bars: their kind, range and count. */
function barsOf(html: string) {
  const bars = html.matchAll(/<rect class="(\w+)"[^>]*><title>([\d.]+) to ([\d.]+): (\d+) of (\d+)<\/title>/g);
  return [...bars].map(([, kind, from, to, count, of]) => ({
    ...{ kind, from: Number(from), to: Number(to), count: Number(count), of: Number(of) },
  }));
}

/** The cells of a table's rows; `own` rows are marked. */
function rowsOf(html: string) {
  const rows = [...html.matchAll(/<tr( class="own")?>(<th scope="row">.*?)<\/tr>/g)];
  return rows.map(([, own, cells]) => ({
    own: own !== undefined,
    cells: [...(cells ?? "").matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => cell),
  }));
}

describe("as text", () => {
  test("the bars count all minutes, and those beyond the threshold are alarms", () => {
    expect(seen.threshold).toBeCloseTo(2.85, 12);
    const bars = barsOf(pageOf(seen));
    const sum = (list: { count: number }[]) => list.reduce((total, { count }) => total + count, 0);
    expect(bars.every(({ of }) => of === 30)).toBe(true);
    expect(sum(bars)).toBe(30);
    const alarms = bars.filter(({ kind }) => kind === "alarm");
    expect(sum(alarms)).toBe(2);
    expect(alarms[0]?.from).toBeCloseTo(2.85, 3);
    for (const { kind, to } of bars) if (kind === "bar") expect(to).toBeLessThanOrEqual(2.8501);
  });

  test("it says what the threshold means, and what other rates need", () => {
    const html = pageOf(seen);
    expect(html).toContain("At 2.850, expect 4 false alarms per hour, as long as");
    expect(html).toContain("<li>The normal video raises 2 alarms at this threshold, in 30 min.</li>");
    const rows = rowsOf(html);
    expect(rows.map(({ cells }) => cells.slice(1, 3))).toEqual([
      ["10", "240"],
      ["4", "96"],
      ["1", "24"],
      ["0.042", "1"],
      ["0.006", "0.14"],
    ]);
    expect(rows.map(({ own }) => own)).toEqual([false, true, false, false, false]);
    // 10 an hour are 5 in half an hour: between 2.6 and 2.5.
    expect(rows[0]?.cells).toEqual(["2.550", "10", "240", "5", "seen in this video"]);
    expect(rows[1]?.cells).toEqual(["2.850", "4", "96", "2", "seen in this video"]);
    expect(rows[3]?.cells[4]).toBe("estimate: the tail, continued 48-fold");
    const thresholds = rows.map(({ cells }) => Number(cells[0]));
    expect(thresholds).toEqual(thresholds.toSorted((a, b) => a - b));
  });

  test("an estimate lies beyond all bars, and is called one", () => {
    const html = pageOf(estimated);
    expect(estimated.threshold).toBeGreaterThan(3);
    const bars = barsOf(html);
    expect(bars.filter(({ kind }) => kind === "alarm")).toEqual([]);
    expect(bars.reduce((total, { count }) => total + count, 0)).toBe(30);
    expect(html).toContain('<h3>Basis</h3><p class="value">estimate</p>');
    expect(html).toContain("continued 48-fold; 1 d of normal video would measure it.");
    expect(
      rowsOf(html)
        .filter(({ own }) => own)[0]
        ?.cells.slice(1, 4),
    ).toEqual(["0.042", "1", "0"]);
  });

  test("a few minutes are shown as blocks, and levels that are all the same as one bar", () => {
    const short = { seconds: 65, median: 0.5, blocks: new Array<number>(13).fill(0.5) };
    const html = calibrationPage({
      ...{ title: "t", created: "", normal: short, found: thresholdFor(short, 86_400 / 5), facts: [] },
    });
    expect(html).toContain("The highest level of each 5 s of normal video");
    expect(barsOf(html).map(({ count }) => count)).toEqual([13]);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("a name never becomes markup, and nothing is loaded", () => {
    const html = pageOf(seen);
    expect(html.match(/<script/g)).toHaveLength(1);
    expect(html.match(/<img|<!--/g)).toBeNull();
    const policy = /Content-Security-Policy" content="(.*?)"/.exec(html)![1];
    expect(policy).toMatch(/^default-src 'none'; img-src data:; script-src 'sha256-[^']*'; style-src 'sha256-[^']*'; /);
    expect(html.match(/\b(?:src|href|action|data)\s*=\s*["'](?!data:)/)).toBeNull();
  });
});

describe("in a browser", () => {
  const folder = mkdtempSync(join(tmpdir(), "sdmae-calibration-"));
  let chromium: Chromium | undefined;
  beforeAll(async () => {
    if (chromiumMissing) return;
    writeFileSync(join(folder, "index.html"), pageOf(seen));
    chromium = new Chromium();
    await chromium.page();
  });
  afterAll(async () => {
    await chromium?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.skipIf(chromiumMissing).each([
    [360, "light"],
    [1300, "dark"],
  ] as const)("it fits %i pixels, and its button changes the colours (%s)", async (width, scheme) => {
    const browser = chromium!;
    browser.events.length = 0;
    const size = { width, height: 900, deviceScaleFactor: 1, mobile: width < 500 };
    await browser.send("Emulation.setDeviceMetricsOverride", size);
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await browser.send("Emulation.setEmulatedMedia", { features });
    await browser.open(pathToFileURL(join(folder, "index.html")).href);
    expect(await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    expect(await browser.evaluate("typeof hacked")).toBe("undefined");
    const look = `[".bar", ".alarm"].map((name) => getComputedStyle(document.querySelector(name)).fill)`;
    const before = await browser.evaluate<string[]>(look);
    expect(before[0]).not.toBe(before[1]);
    await browser.evaluate(`document.querySelector(".theme").click()`);
    const after = await browser.evaluate<string[]>(look);
    for (const i of [0, 1]) expect(after[i]).not.toBe(before[i]);
    expect(browser.events.filter(({ method }) => /Log.entryAdded|exceptionThrown/.test(method))).toEqual([]);
  });
});
