import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/errors.js";
import {
  type ReportData,
  type ReportPicture,
  type ReportVideo,
  reportPage,
} from "../../../src/report/evaluation/page_file.js";
import { Chromium, chromiumMissing } from "../../support/chromium.js";
import { scratch } from "../../support/folders.js";

const hostile = "</script><script>hacked=1</script><img src=x onerror=hacked=1>\u2028<!--&amp;";
const threshold = 0.5;
const count = 60;
const abnormal = (i: number) => i >= 20 && i < 40;

/** A picture of one colour, and a map that covers it. */
async function picture(index: number, red: number): Promise<ReportPicture> {
  const create = (background: { r: number; g: number; b: number; alpha: number }) =>
    sharp({ create: { width: 30, height: 20, channels: 4, background } });
  const image = await create({ r: red, g: 0, b: 0, alpha: 1 }).jpeg().toBuffer();
  const map = await create({ r: 255, g: 255, b: 0, alpha: 0.5 }).png().toBuffer();
  return {
    index,
    image: `data:image/jpeg;base64,${image.toString("base64")}`,
    map: `data:image/png;base64,${map.toString("base64")}`,
  };
}

function video(name: string, strip: ReportPicture[]): ReportVideo {
  const at = Array.from({ length: count }, (_, i) => i);
  // Two levels, so that the places of the lines are known.
  const scores = at.map((i) => (abnormal(i) ? 0.8 : 0.2));
  return {
    name,
    frames: at.map((i) => i + 100),
    raw: scores,
    scores,
    labels: at.map((i) => Number(abnormal(i))),
    auc: 100,
    strip,
  };
}

async function reportData(): Promise<ReportData> {
  const strip = await Promise.all([0, 30, 59].map((index, i) => picture(index, 60 + 90 * i)));
  const { labels: _, auc: __, ...unlabelled } = video("unlabelled", []);
  return {
    title: `Report ${hostile}`,
    created: "2026-01-02T03:04:05Z",
    facts: [["checkpoint", hostile]],
    metrics: [
      { name: "Micro-AUC", value: 91.234567, published: 95.4 },
      { name: "RBDC", note: "no tracks" },
    ],
    threshold,
    curves: [
      {
        name: "ROC",
        xLabel: "false positives",
        yLabel: "true positives",
        x: [0, 0, 1],
        y: [0, 1, 1],
        area: 100,
        chance: true,
      },
    ],
    videos: [
      { ...video(hostile, strip), about: `runner ${hostile}` },
      { ...unlabelled, scores: unlabelled.scores.map((score, i) => (i < 5 ? Number.NaN : score)) },
      ...Array.from({ length: 8 }, (_, i) => video(`other ${i}`, strip)),
    ],
    moments: [{ ...strip[1], kind: "detected", video: hostile, frame: 130, score: 0.8, label: 1 }],
    notes: [`A note ${hostile}`],
  };
}

const embedded = (html: string) =>
  JSON.parse(/<script type="application\/json" id="report">(.*?)<\/script>/s.exec(html)![1]) as ReportData;

describe("as text", () => {
  test("a name never becomes markup or script", async () => {
    const data = await reportData();
    const html = reportPage(data);
    expect(html.match(/<script/g)).toHaveLength(2);
    expect(html.match(/<\/script/g)).toHaveLength(2);
    expect(/<title>(.*?)<\/title>/s.exec(html)![1]).not.toMatch(/[<>]/);
    expect(/id="report">(.*?)<\/script>/s.exec(html)![1]).not.toMatch(/[<>&\u2028\u2029]/);
    expect(html.match(/<img|<!--/g)).toBeNull();
    const { title, videos } = embedded(html);
    expect([title, videos[0].name]).toEqual([data.title, hostile]);
  });

  test("everything is inside the page", async () => {
    const html = reportPage(await reportData());
    const policy = /Content-Security-Policy" content="(.*?)"/.exec(html)![1];
    expect(policy).toMatch(/^default-src 'none'; img-src data:; script-src 'sha256-[^']*'; style-src 'sha256-[^']*'; /);
    expect(html.match(/\b(?:src|href|action|data)\s*=\s*["'](?!data:)/)).toBeNull();
    expect(html.match(/@import|url\((?!#)|\bimport\s*\(|fetch\(|XMLHttpRequest|WebSocket/)).toBeNull();
    // The name of SVG's namespace is not an address that is loaded.
    expect(new Set(html.match(/https?:\/\/[^"'\s]*/g))).toEqual(new Set(["http://www.w3.org/2000/svg"]));
    // A bundled library comes with its licence.
    expect(html.includes("Permission is hereby granted, free of charge")).toBe(true);
  });

  test("fractions have six digits, whole numbers stay, NaN becomes null", async () => {
    const data = await reportData();
    const html = reportPage({
      ...data,
      threshold: Number.NaN,
      videos: [
        {
          name: "v",
          frames: [1234567, 1234568, 1234569],
          raw: [0.123456789, Number.NaN, Infinity],
          scores: [1 / 3, 2e-7 / 3, 1e6 / 3],
          strip: [],
        },
      ],
    });
    const seen = embedded(html);
    expect(seen.threshold).toBeNull();
    expect(seen.videos).toEqual([
      {
        name: "v",
        frames: [1234567, 1234568, 1234569],
        raw: [0.123457, null, null],
        scores: [0.333333, 6.66667e-8, 333333],
        strip: [],
      },
    ]);
    expect(seen.curves).toEqual(data.curves);
    expect(seen.facts).toEqual(data.facts);
    expect(seen.moments).toEqual(data.moments);
    expect(seen.metrics).toEqual([{ name: "Micro-AUC", value: 91.2346, published: 95.4 }, data.metrics[1]]);
  });

  test("a long curve keeps its ends and its area", async () => {
    const x = Array.from({ length: 50_001 }, (_, i) => i / 50_000);
    const long = { name: "long", xLabel: "x", yLabel: "y", x, y: x.map(Math.sqrt), area: 200 / 3 };
    const { curves } = embedded(reportPage({ ...(await reportData()), curves: [long] }));
    const curve = curves[0];
    expect(curve.x.length).toBeLessThan(2100);
    expect([curve.x[0], curve.y[0], curve.x.at(-1), curve.y.at(-1)]).toEqual([0, 0, 1, 1]);
    let area = 0;
    for (let i = 1; i < curve.x.length; i++) {
      area += ((curve.x[i] - curve.x[i - 1]) * (curve.y[i] + curve.y[i - 1])) / 2;
    }
    expect(area).toBeCloseTo(2 / 3, 4);
  });

  test("an image from elsewhere is refused", async () => {
    const data = await reportData();
    const moment = { ...data.moments[0], image: "https://example.org/a.jpg" };
    expect(() => reportPage({ ...data, moments: [moment] })).toThrow(
      new InputError(
        `report: moment in video ${JSON.stringify(hostile)}, frame index 30: the image is "https://example.org/a.jpg", not a data: URL in base64`,
      ),
    );
  });
});

describe("in a browser", () => {
  const at = scratch();
  let chromium: Chromium | undefined;
  let data: ReportData;

  beforeAll(async () => {
    if (chromiumMissing) return;
    data = await reportData();
    writeFileSync(at("index.html"), reportPage(data));
    chromium = new Chromium();
    await chromium.page();
    await chromium.goOffline();
  });

  afterAll(() => chromium?.close());

  /** Opens the report with a width and a colour scheme. */
  async function open(width: number, scheme: "light" | "dark", url = "index.html"): Promise<Chromium> {
    const browser = chromium!;
    await browser.look(width, scheme);
    await browser.open(pathToFileURL(at(url)).href);
    await browser.evaluate(frame);
    return browser;
  }

  /** After two frames of the browser everything is drawn. */
  const frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))";

  /**
   * Columns of the score plot's canvas at frames, each a list of [r, g, b, alpha] from the top of
   * the plot to its bottom.
   */
  const columns = (browser: Chromium, frames: number[]) =>
    browser.evaluate<number[][][]>(`(() => {
      const [canvas, over] = [".scores canvas", ".scores .u-over"].map(s => document.querySelector(s));
      const [c, o] = [canvas.getBoundingClientRect(), over.getBoundingClientRect()];
      return ${JSON.stringify(frames)}.map(index => {
        const x = Math.round(o.left - c.left + (index + 0.5) / ${count} * o.width);
        const { data } = canvas.getContext("2d").getImageData(x, Math.round(o.top - c.top), 1, Math.round(o.height));
        return Array.from({ length: data.length / 4 }, (_, i) => [...data.slice(i * 4, i * 4 + 4)]);
      });
    })()`);

  const near = (a: number[], b: number[], tolerance: number) => a.every((v, i) => Math.abs(v - b[i]) <= tolerance);
  /** The middle of the rows that have a colour. */
  const rowOf = (column: number[][], colour: number[]) => {
    const rows = column.flatMap((pixel, i) => (near(pixel, [...colour, 255], 3) ? [i] : []));
    return rows.length === 0 ? Number.NaN : (rows[0] + rows.at(-1)!) / 2;
  };

  test("it is drawn in a browser whose language Intl refuses", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    try {
      await chromium!.setLanguage("en-US@posix");
      const browser = await open(1280, "light");
      const refused = "(() => { try { new Intl.NumberFormat('en-US@posix'); } catch { return true; } })()";
      expect(await browser.evaluate(refused)).toBe(true);
      const [column] = await columns(browser, [13]);
      expect(rowOf(column, [...schemes.light.score])).toBeGreaterThan(0);
      expect(browser.complaints()).toEqual([]);
    } finally {
      await chromium!.setLanguage("en-US");
    }
  });

  // The colours of the style sheet.
  const schemes = {
    light: { shade: [0xd5, 0x5e, 0x00, 0x26], score: [0x00, 0x67, 0xa5], line: [0x2d, 0x34, 0x40] },
    dark: { shade: [0xe6, 0x9f, 0x00, 0x33], score: [0x5c, 0xb6, 0xea], line: [0xd5, 0xdb, 0xe3] },
  } as const;

  test.for(["light", "dark"] as const)(
    "plots, shaded ranges and the threshold are drawn: %s",
    async (scheme, { skip }) => {
      skip(chromiumMissing !== "", chromiumMissing);
      const browser = await open(1280, scheme);
      const { shade, score, line } = schemes[scheme];
      // Between the lines of the grid.
      const [normal, inside] = await columns(browser, [13, 33]);
      // A small alpha leaves few steps for the colour.
      const shaded = (column: number[][]) =>
        column.filter((pixel) => near(pixel, [...shade], 4)).length / column.length;
      expect(shaded(inside)).toBeGreaterThan(0.8);
      expect(shaded(normal)).toBe(0);
      // Just inside and just outside of the range, which goes from frame 19.5 to 39.5.
      const edges = await columns(browser, [19.2, 19.8, 39.2, 39.8]);
      expect(edges.map((column) => shaded(column) > 0.5)).toEqual([false, true, true, false]);

      // The axis is linear: the threshold of 0.5 stands half-way between the scores, 0.2 and 0.8.
      const halfWay = (rowOf(normal, [...score]) + rowOf(inside, [...score])) / 2;
      const all = await columns(
        browser,
        Array.from({ length: 60 }, (_, i) => i + 0.37),
      );
      const dashes = all.filter((column) => Math.abs(rowOf(column, [...line]) - halfWay) <= 1.5).length;
      expect(dashes).toBeGreaterThan(20);

      // The button changes the scheme, also of the plot.
      await browser.evaluate("document.querySelector('.theme').click()");
      await browser.evaluate(frame);
      const [other] = await columns(browser, [13]);
      expect(rowOf(other, [...schemes[scheme === "light" ? "dark" : "light"].score])).toBe(rowOf(normal, [...score]));

      const sizes = await browser.evaluate<number[][]>(
        `(async () => { document.querySelector(".curves").scrollIntoView(); await new Promise(r => setTimeout(r, 200));
        return [...document.querySelectorAll(".plot canvas")].map(c => [c.width, c.height]); })()`,
      );
      expect(sizes).toHaveLength(2);
      for (const size of sizes) expect(Math.min(...size)).toBeGreaterThan(100);
      expect(await browser.evaluate("typeof hacked")).toBe("undefined");
      expect(await browser.evaluate("document.querySelector('.player h3 bdi').textContent")).toBe(hostile);
      // What happens stands beside the name, in the list, and at the plot.
      const about = "[...document.querySelectorAll('.about')].map((one) => one.textContent)";
      expect(await browser.evaluate(about)).toEqual(Array(2).fill(data.videos[0].about));
      const key = "document.querySelector('.key').textContent";
      expect(await browser.evaluate(key)).toContain(`labelled abnormal: ${data.videos[0].about}`);
      expect(browser.complaints()).toEqual([]);
    },
  );

  test("mouse, keys and a moment move through the video", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const browser = await open(1280, "light");
    const [, second, third] = data.videos[0].strip.map(({ image }) => image);
    const state = () =>
      browser.evaluate(`(() => ({
        image: document.querySelector(".screen .frame").src,
        index: Number(document.querySelector(".scrub").value),
        frame: document.querySelector(".readout dd").textContent,
        video: document.querySelector(".player h3 bdi").textContent,
      }))()`);
    const at = (index: number, image: string | undefined) => ({
      image,
      index,
      frame: String(100 + index),
      video: hostile,
    });
    // It opens at the highest score.
    expect(await state()).toEqual(at(20, second));

    const box = await browser.evaluate<{ x: number; y: number; width: number; height: number }>(
      `(() => { const over = document.querySelector(".scores .u-over"); over.scrollIntoView({ block: "center" });
        return over.getBoundingClientRect().toJSON(); })()`,
    );
    const mouse = (type: string, index: number) =>
      browser.send("Input.dispatchMouseEvent", {
        type,
        x: box.x + ((index + 0.5) / count) * box.width,
        y: box.y + box.height / 2,
        button: "left",
        buttons: 1,
        clickCount: 1,
      });
    await mouse("mousePressed", 25);
    expect(await state()).toEqual(at(25, second));
    await mouse("mouseMoved", 50);
    await mouse("mouseReleased", 50);
    expect(await state()).toEqual(at(50, third));

    const key = async (name: string) => {
      for (const type of ["rawKeyDown", "keyUp"]) {
        const code = { ArrowLeft: 37, ArrowRight: 39 }[name];
        await browser.send("Input.dispatchKeyEvent", { type, key: name, code: name, windowsVirtualKeyCode: code });
      }
    };
    // The slider has the focus since the click.
    for (let i = 0; i < 6; i++) await key("ArrowLeft");
    expect(await state()).toEqual(at(44, second));
    await key("ArrowRight");
    expect(await state()).toEqual(at(45, third));
    const middle =
      "(({ left, right }) => (left + right) / 2)(document.querySelector('.playhead').getBoundingClientRect())";
    const ends =
      "(({ left, right }) => [left + 9, right - 9])(document.querySelector('.scrub').getBoundingClientRect())";
    const [left, right] = await browser.evaluate<[number, number]>(ends);
    // The slider's thumb, 18 pixels wide, stands under the playhead.
    expect(Math.abs(left + (45 / 59) * (right - left) - (await browser.evaluate<number>(middle)))).toBeLessThan(1.5);

    await browser.evaluate("document.querySelectorAll('.videos button')[1].click()");
    expect(await state()).toMatchObject({ index: 20, video: "unlabelled" });
    expect(await browser.evaluate("getComputedStyle(document.querySelector('.screen')).display")).toBe("none");
    expect(await browser.evaluate("document.querySelector('.key').textContent")).toContain("no labels");
    await browser.evaluate("document.querySelector('.jump').click()");
    expect(await state()).toEqual(at(30, second));

    // The map over the frame can be seen, made fainter, and hidden.
    const opacity = "getComputedStyle(document.querySelector('.screen .map')).opacity";
    expect(await browser.evaluate(opacity)).toBe("0.7");
    await browser.evaluate("document.querySelector('.map-controls input').click()");
    expect(await browser.evaluate(opacity)).toBe("0");
    expect(browser.complaints()).toEqual([]);
  });

  test("playing moves through the video and can be stopped", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const browser = await open(1280, "light");
    const place = "Number(document.querySelector('.scrub').value)";
    await browser.evaluate("document.querySelector('.play').click()");
    await expect.poll(() => browser.evaluate(place), { timeout: 10_000 }).toBeGreaterThan(23);
    await browser.evaluate("document.querySelector('.play').click()");
    const stopped = await browser.evaluate(place);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(await browser.evaluate(place)).toBe(stopped);
  });

  test.for(["light", "dark"] as const)("on a phone nothing is wider than the screen: %s", async (scheme, { skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const browser = await open(360, scheme);
    for (const chosen of [0, 1]) {
      await browser.evaluate(`document.querySelectorAll(".videos button")[${chosen}].click()`);
      await browser.evaluate(frame);
      const [wide, view] = await browser.evaluate<[number, number]>(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]",
      );
      expect(wide).toBeLessThanOrEqual(view);
      expect(view).toBe(360);
    }
    const page = await browser.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(page).toBe(scheme === "light" ? "rgb(244, 246, 248)" : "rgb(18, 21, 26)");
    expect(browser.complaints()).toEqual([]);
  });

  test("a report may have nothing but scores", async ({ skip }) => {
    skip(chromiumMissing !== "", chromiumMissing);
    const { threshold: _, ...rest } = data;
    const bare: ReportData = {
      ...rest,
      metrics: [],
      curves: [],
      moments: [],
      notes: [],
      facts: [],
      videos: [data.videos[1], { name: "empty", frames: [], raw: [], scores: [], strip: [] }],
    };
    writeFileSync(at("bare.html"), reportPage(bare));
    const browser = await open(1280, "light", "bare.html");
    expect(await browser.evaluate("[...document.querySelectorAll('section')].map(s => s.id)")).toEqual(["timeline"]);
    await browser.evaluate("document.querySelectorAll('.videos button')[1].click()");
    expect(await browser.evaluate("document.querySelector('.scores').textContent")).toBe("This video has no scores.");
    expect(browser.complaints()).toEqual([]);
  });
});
