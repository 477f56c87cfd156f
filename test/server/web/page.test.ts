import { rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { InputError } from "../../../src/errors.js";
import { parseConfig } from "../../../src/server/config/config.js";
import { type WebOptions, webApp } from "../../../src/server/web/app.js";
import { type Served, serveWeb } from "../../../src/server/web/serve.js";
import { Chromium, chromiumMissing } from "../../support/chromium.js";
import { scratchPerTest } from "../../support/folders.js";
import { type FakeCamera, FakeWatch, facts, fakeEvent, street } from "./fake_watch.js";

const hostile = "</script><img src=x onerror=hacked=1>";

describe.skipIf(chromiumMissing)("in a browser", () => {
  const root = scratchPerTest();
  let browser: Chromium;
  let watch: FakeWatch;
  let front: FakeCamera;

  beforeAll(async () => {
    browser = new Chromium();
    await browser.page();
  });
  // A page that outlives its server complains.
  afterEach(() => browser.open("about:blank"));
  afterAll(() => browser?.close());

  beforeEach(async () => {
    watch = new FakeWatch(root(), "front", "yard", "garage");
    const [, yard, garage] = watch.cameras;
    [front] = watch.cameras;
    watch.isReady = true;
    watch.facts.set("engine", facts);
    Object.assign(front, { status: "online", latency: 0.21, picture: await street(0.3) });
    front.config = { ...front.config, name: "Front door" };
    front.decisions = { learning: 1, threshold: 0.35, mode: "day", isPaused: false };
    const minutes = Array.from({ length: 60 }, (_, i) => i / 200);
    const learnt = { threshold: 0.35, normal: 0.1, alarmsPerDay: 1, extrapolation: 24, seconds: 3600 };
    watch.learntOf.set("front", { ...learnt, mapHigh: 0.3, minutes });
    yard.config = { ...yard.config, name: `Yard ${hostile}` };
    Object.assign(yard, { status: "online", picture: await street(0.8) });
    yard.decisions = { learning: 0.4, threshold: undefined, mode: "infrared", isPaused: false };
    watch.models.set("garage", { hash: "fedcba9876543210", isLearnt: true });
    Object.assign(garage, { status: "offline", problem: "the camera does not answer" });
  });

  async function served(options: WebOptions = {}, port = 0): Promise<Served> {
    const page = await serveWeb(webApp(watch, watch.feed, options), { host: "127.0.0.1", port });
    onTestFinished(() => page.close());
    return page;
  }

  /** Opens the page, and waits until it has heard from the server. */
  async function open(width = 1280, scheme: "light" | "dark" = "light", options: WebOptions = {}): Promise<Served> {
    const page = await served(options);
    await browser.look(width, scheme);
    await browser.open(page.url);
    await until(`document.querySelectorAll(".camera").length === 3`);
    return page;
  }

  const until = (expression: string, timeout = 8000) =>
    expect.poll(() => browser.evaluate(expression), { timeout, interval: 50 }).toBe(true);
  const textOf = (selector: string) =>
    browser.evaluate<string>(`document.querySelector(${JSON.stringify(selector)}).innerText`);
  const click = (selector: string) => browser.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
  const button = (name: string, within = "document") =>
    `[...${within}.querySelectorAll("button")].find(one => one.textContent === ${JSON.stringify(name)})`;

  /** Addresses that were asked for, without this server's. */
  const strangers = ({ url }: Served) =>
    browser.events
      .filter(({ method }) => method === "Network.requestWillBeSent")
      .map(({ params }) => (params.request as { url: string }).url)
      .filter((address) => !address.startsWith(url) && !address.startsWith("data:"));
  /** Errors of the page, and what its policy refuses. */
  const errors = () => browser.complaints().filter(({ method }) => method !== "Network.requestWillBeSent");

  const cursor = (type: string, x: number, y: number) =>
    browser.send("Input.dispatchMouseEvent", { type, x, y, button: "left", buttons: 1, clickCount: 1 });
  async function key(name: string, modifiers = 0): Promise<void> {
    const codes: Record<string, number> = {
      ArrowLeft: 37,
      ArrowUp: 38,
      ArrowRight: 39,
      ArrowDown: 40,
      Enter: 13,
      Escape: 27,
    };
    const event = { key: name, code: name, windowsVirtualKeyCode: codes[name], modifiers };
    for (const type of ["rawKeyDown", "keyUp"]) await browser.send("Input.dispatchKeyEvent", { type, ...event });
  }

  test("it shows cameras, and loads nothing from elsewhere", async () => {
    const page = await open();
    const drawing = setInterval(() => watch.outcome(front, { level: 0.4 }), 100);
    onTestFinished(() => clearInterval(drawing));
    expect(await textOf("[data-camera=front]")).toMatch(/Front door\s+live/);
    expect(await textOf("[data-camera=yard]")).toContain(hostile);
    expect(await textOf("[data-camera=yard]")).toContain("learning what is normal: 40\u00a0%");
    expect(await textOf("[data-camera=garage]")).toMatch(/offline[\s\S]*the camera does not answer/);
    await until(`document.querySelector("[data-camera=front]").classList.contains("abnormal")`);
    await until(`document.querySelector("[data-camera=front] .screen img").naturalWidth === 640`);
    // The highest value lies in the second column of the lower row; zeros are transparent.
    const alpha = (x: number, y: number) =>
      `document.querySelector("[data-camera=front] .heat").getContext("2d").getImageData(${x}, ${y}, 1, 1).data[3]`;
    await until(`${alpha(1, 1)} === 255 && ${alpha(0, 0)} === 0 && ${alpha(2, 1)} === 0`);
    await until(`document.querySelector("[data-camera=front] .plot canvas") !== null`);
    await until(`/0\\.4 of 0\\.35/.test(document.querySelector("[data-camera=front] .figures").textContent)`);
    await click(".switch input");
    expect(await browser.evaluate(`getComputedStyle(document.querySelector(".heat")).display`)).toBe("none");
    const health = await textOf("#health");
    expect(health).toMatch(/NVIDIA H200 \(driver 550\), f16, 320×640/);
    expect(health).toMatch(/Front door.*\s0123abcd\n/);
    expect(health).toMatch(/garage.*\sfedcba98 \(learnt\)/);
    expect(await browser.evaluate("typeof hacked")).toBe("undefined");
    expect([strangers(page), errors()]).toEqual([[], []]);
  });

  test.each([
    [360, "light"],
    [360, "dark"],
    [1280, "light"],
    [1280, "dark"],
  ] as const)("it fits %i pixels (%s), and so do its dialogs", async (width, scheme) => {
    watch.events = [
      fakeEvent(1, { text: "a long text without any blank: ".padEnd(200, "x"), zones: ["door", "path"] }),
    ];
    await open(width, scheme);
    const fits = () => browser.evaluate("document.documentElement.scrollWidth <= innerWidth");
    await until(`document.querySelectorAll(".event").length === 1`);
    expect(await fits()).toBe(true);
    for (const name of ["Threshold", "Areas"]) {
      await browser.evaluate(`${button(name, `document.querySelector("[data-camera=front]")`)}.click()`);
      await until(`document.querySelector("dialog:modal svg, dialog:modal canvas") !== null`);
      const [left, right] = await browser.evaluate<number[]>(
        `(({ left, right }) => [left, right])(document.querySelector("dialog").getBoundingClientRect())`,
      );
      expect(left).toBeGreaterThanOrEqual(0);
      expect(right).toBeLessThanOrEqual(width);
      expect(await browser.evaluate(`(d => d.scrollWidth <= d.clientWidth)(document.querySelector("dialog"))`)).toBe(
        true,
      );
      await key("Escape");
      await until(`document.querySelector("dialog") === null`);
    }
    const colour = await browser.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(colour).toBe(scheme === "light" ? "rgb(244, 246, 248)" : "rgb(18, 21, 26)");
    expect(errors()).toEqual([]);
  });

  test("an event arrives, changes, and is said to be normal", async () => {
    const page = await open();
    await until(`document.querySelector("#events").innerText.includes("No events yet.")`);
    const event = fakeEvent(1, { zones: ["door"], threshold: 0.35, peak: { time: fakeEvent(1).start, level: 0.6123 } });
    watch.change("new", event);
    await until(`document.querySelectorAll(".event").length === 1`);
    expect(await textOf(".event")).toMatch(/Anomaly Front door\s+now[\s\S]*goes on[\s\S]*level 0\.612 of 0\.35 · door/);
    watch.change("new", fakeEvent(5, { camera: "yard", kind: "scene_change", silent: true }));
    await until(`document.querySelectorAll(".event").length === 2`);
    // Newest first.
    expect(await textOf(".event")).toMatch(/^no picture\s+Scene change Yard [^\n]*silent/);
    const end = new Date(Date.parse(event.start) + 12_000).toISOString();
    const snapshot = watch.file(event, "jpg", await street(0.4));
    watch.change("end", { ...event, end, snapshot });
    const item = `.event[data-id="${event.id}"]`;
    await until(`document.querySelector('${item}').innerText.includes("12\\u00a0s")`);
    await until(`document.querySelector('${item} img').naturalWidth === 640`);

    await browser.evaluate(`${button("This is normal", `document.querySelector('${item}')`)}.click()`);
    await until(`document.querySelector('${item} .badge.normal') !== null`);
    expect(watch.normal).toEqual([event.id]);
    expect(await browser.evaluate(`document.querySelectorAll('${item} .is-normal').length`)).toBe(0);
    // It is taken back.
    await browser.evaluate(
      `(undo => { undo.focus(); undo.click(); })(${button("Undo", `document.querySelector('${item}')`)})`,
    );
    await until(`document.querySelector('${item} .is-normal') !== null`);
    expect(watch.normal).toEqual([]);
    // The button that took its place has the focus.
    await until(`document.activeElement === document.querySelector('${item} .is-normal')`);
    expect([strangers(page), errors()]).toEqual([[], []]);
  });

  test("a camera learns again once that is confirmed", async () => {
    await open();
    const within = (id: string) => `document.querySelector("[data-camera=${id}]")`;
    const press = (name: string, where = `document.querySelector("dialog")`) =>
      browser.evaluate(`${button(name, where)}.click()`);
    await press("Threshold", within("front"));
    await until(`document.querySelector("dialog svg") !== null`);
    expect(await textOf("dialog")).toContain("It was learnt from 1 h of normal video, for 1 false alarm a day.");
    await press("Learn again");
    expect(await textOf("dialog")).toContain("Its thresholds and its usual view are forgotten");
    await press("Cancel");
    expect(await textOf("dialog")).not.toContain("forgotten");
    await press("Learn again");
    await press("Forget and learn again");
    await until(`document.querySelector("dialog") === null`);
    expect(watch.recalibrated).toEqual(["front"]);
    await until(`${within("front")}.querySelector(".learning").checkVisibility()`);

    // One that learns for the first time can begin again too. What goes wrong is shown.
    await press("Threshold", within("yard"));
    await until(`document.querySelector("dialog:modal") !== null`);
    expect(await textOf("dialog")).toContain("There is no threshold yet in infrared light");
    watch.recalibrate = () => Promise.reject(new InputError("calibration.json: cannot be written"));
    await press("Learn again");
    await press("Forget and learn again");
    await until(`document.querySelector("dialog .problem").textContent === "calibration.json: cannot be written"`);
    expect(await browser.evaluate(`${button("Forget and learn again")}.disabled`)).toBe(false);
    await key("Escape");
  });

  test("events are filtered, and more are loaded", async () => {
    watch.events = Array.from({ length: 55 }, (_, i) => fakeEvent(i, { camera: i === 7 ? "yard" : "front" }));
    await open();
    const count = (n: number) => until(`document.querySelectorAll(".event").length === ${n}`);
    await count(50);
    await click(".more");
    await count(55);
    expect(await browser.evaluate(`document.querySelector(".more").hidden`)).toBe(true);
    const choose = (i: number, value: string) =>
      browser.evaluate(`(select => { select.value = "${value}"; select.dispatchEvent(new Event("change")); })
        (document.querySelectorAll(".filters select")[${i}])`);
    await choose(0, "yard");
    await count(1);
    watch.change("new", fakeEvent(58));
    watch.change("new", fakeEvent(59, { camera: "yard" }));
    await count(2);
    await choose(1, "offline");
    await until(`document.querySelector("#events").innerText.includes("No such events.")`);
  });

  test("events of a day are shown", async () => {
    const days = [new Date(2026, 4, 5, 23, 59, 59), new Date(2026, 4, 6), new Date(2026, 4, 7)];
    watch.events = days.map((day, i) => fakeEvent(i, { start: day.toISOString() }));
    await open();
    const count = (n: number) => until(`document.querySelectorAll(".event").length === ${n}`);
    await count(3);
    await browser.evaluate(`(day => { day.value = "2026-05-06"; day.dispatchEvent(new Event("change")); })
      (document.querySelector("input[type=date]"))`);
    await count(1);
    expect(await textOf(".event")).toContain("2026-05-06 00:00:00");
    watch.change("new", fakeEvent(59));
    watch.change("new", fakeEvent(58, { start: new Date(2026, 4, 6, 12).toISOString() }));
    await count(2);
    await browser.evaluate(`${button("All days")}.click()`);
    await count(5);
  });

  test("what needs looking after stands above all", async () => {
    watch.isReady = false;
    watch.cameras[0].slowness = "scores 4 % of its frames";
    watch.sinks = [{ sink: "mqtt", length: 12, problem: "connection refused" }];
    let editProblem: string | undefined = "w.yaml:7:10: fps";
    await open(1280, "light", { editProblem: () => editProblem });
    await until(`document.querySelector(".problems").childElementCount === 5`);
    expect((await textOf(".problems")).split("\n")).toEqual([
      "The edited configuration is not used: w.yaml:7:10: fps",
      "Nothing is scored: the engine starts, or starts again.",
      "garage is offline: the camera does not answer",
      "Front door scores 4 % of its frames",
      "Alerts by mqtt: 12 wait (connection refused)",
    ]);
    watch.isReady = true;
    editProblem = undefined;
    watch.sinks = [];
    watch.cameras[0].slowness = undefined;
    watch.cameras[2].status = "online";
    await until(`getComputedStyle(document.querySelector(".problems")).display === "none"`);
  });

  test("a clip that was deleted is said to be so, and has no player", async () => {
    const gone = { clip: "clips/front/2026-11-30/x.mp4", snapshot: "clips/front/2026-11-30/x.jpg" };
    const later = fakeEvent(2, { end: fakeEvent(3).start });
    watch.events = [fakeEvent(1, { end: fakeEvent(2).start, ...gone })];
    watch.events.push({ ...later, clip: watch.file(later, "mp4", new Uint8Array(500)) });
    await open();
    await until(`document.querySelectorAll(".event").length === 2`);
    const deleted = `document.querySelectorAll(".event")[1]`;
    expect(await browser.evaluate<string>(`${deleted}.innerText`)).toMatch(
      /^clip deleted[\s\S]*the clip was deleted: clips are kept for 30 days, up to 20\.0 GB/,
    );
    expect(await browser.evaluate(`${deleted}.querySelectorAll("img, button.thumb").length`)).toBe(0);
    // Feedback does not bring it back.
    await browser.evaluate(`${deleted}.querySelector(".is-normal").click()`);
    await until(`${deleted}.querySelector(".badge.normal") !== null && ${deleted}.innerText.includes("clip deleted")`);
    // One that goes while the page is open.
    rmSync(root(watch.events.find(({ id }) => id === later.id)!.clip!));
    await click(".event .thumb");
    await until(`document.querySelector("dialog").innerText.includes("the clip was deleted")`);
    expect(await browser.evaluate(`document.querySelector("dialog video")`)).toBe(null);
  });

  test("a click plays the clip, which is loaded in parts", async () => {
    const event = fakeEvent(1, { end: fakeEvent(2).start });
    const clip = watch.file(event, "mp4", new Uint8Array(5000));
    watch.events = [{ ...event, clip, snapshot: watch.file(event, "jpg", await street(0.4)) }];
    const page = await open();
    await until(`document.querySelector(".event .thumb") !== null`);
    await click(".event .thumb");
    await until(`document.querySelector("dialog video") !== null`);
    const isClip = ({ params }: { params: Record<string, unknown> }) =>
      (params.request as { url?: string } | undefined)?.url === `${page.url}files/${clip}`;
    await expect.poll(() => browser.events.filter(isClip).length, { timeout: 8000 }).toBeGreaterThan(0);
    // The file is no video.
    await until(`document.querySelector("dialog").innerText.includes("cannot play the clip")`);
    await key("Escape");
    await until(`document.querySelector("dialog") === null`);
    expect(strangers(page)).toEqual([]);
  });

  test("areas are drawn with the mouse and with keys, and become a configuration", async () => {
    front.config = { ...front.config, privacy: [{ x: 0.8, y: 0.8, width: 0.1, height: 0.1 }] };
    await open();
    await until(`document.querySelector("[data-camera=front] .screen img").naturalWidth === 640`);
    await browser.evaluate(`${button("Areas", `document.querySelector("[data-camera=front]")`)}.click()`);
    await until(`document.querySelector("dialog .stage img").complete`);
    await browser.evaluate(`document.querySelector(".editor input[type=text]").value = "Front Door"`);
    const box = await browser.evaluate<{ x: number; y: number; width: number; height: number }>(
      `document.querySelector(".drawing").getBoundingClientRect().toJSON()`,
    );
    const at = (x: number, y: number) => [box.x + x * box.width, box.y + y * box.height] as const;
    for (const place of [at(0.1, 0.1), at(0.4, 0.1), at(0.4, 0.5), at(0.1, 0.1)]) {
      await cursor("mousePressed", ...place);
      await cursor("mouseReleased", ...place);
    }
    const yaml = () => browser.evaluate<string>(`document.querySelector(".editor textarea").value`);
    const camera = async () =>
      parseConfig(`${await yaml()}    source: rtsp://camera/stream\n`, "/sdmae.yaml", {}).cameras[0];
    const near = (polygon: readonly (readonly number[])[], wanted: number[][]) => {
      expect(polygon).toHaveLength(wanted.length);
      for (const [i, corner] of polygon.entries()) {
        for (const j of [0, 1]) expect(Math.abs(corner[j] - wanted[i][j])).toBeLessThan(0.003);
      }
    };
    let { zones } = await camera();
    expect(zones.map(({ name }) => name)).toEqual(["front-door"]);
    near(zones[0].polygon, [
      [0.1, 0.1],
      [0.4, 0.1],
      [0.4, 0.5],
    ]);

    // A corner is dragged.
    await cursor("mousePressed", ...at(0.4, 0.5));
    await cursor("mouseMoved", ...at(0.3, 0.7));
    await cursor("mouseReleased", ...at(0.3, 0.7));
    ({ zones } = await camera());
    near(zones[0].polygon, [
      [0.1, 0.1],
      [0.4, 0.1],
      [0.3, 0.7],
    ]);

    // With keys, from the middle: Shift moves by a twentieth.
    await browser.evaluate(`document.querySelector(".editor input[value=ignore]").click()`);
    await browser.evaluate(`document.querySelector(".drawing").focus()`);
    await key("Enter");
    for (let i = 0; i < 4; i++) await key("ArrowRight", 8);
    await key("Enter");
    await key("ArrowDown", 8);
    await key("ArrowDown");
    await key("Enter");
    await key("Enter");
    await key("Backspace");
    await browser.evaluate(`${button("Finish area")}.click()`);
    const { ignore, privacy } = await camera();
    near(ignore[0], [
      [0.5, 0.5],
      [0.7, 0.5],
      [0.7, 0.56],
    ]);
    expect(privacy).toEqual([{ x: 0.8, y: 0.8, width: 0.1, height: 0.1 }]);

    // Escape gives up what is drawn, then closes.
    await key("Enter");
    await key("Escape");
    expect(await browser.evaluate(`document.querySelector("dialog") !== null`)).toBe(true);
    await browser.evaluate(`document.querySelector("[aria-label='Remove ignore']").click()`);
    expect((await camera()).ignore).toEqual([]);
    await key("Escape");
    await until(`document.querySelector("dialog") === null`);
    expect(errors()).toEqual([]);
  });

  test("a lost connection is shown, and comes back by itself", async () => {
    const page = await open();
    const port = Number(new URL(page.url).port);
    await page.close();
    await until(`document.querySelector(".lost").checkVisibility()`);
    expect(await textOf(".lost")).toContain("The connection is lost.");
    watch.events = [fakeEvent(3)];
    await served({}, port);
    await until(`!document.querySelector(".lost").checkVisibility()`, 15_000);
    // What was missed is loaded.
    await until(`document.querySelectorAll(".event").length === 1`);
  });

  test("the form takes the token, and a link from another site finds the page", async () => {
    const token = "a-token-of-the-test";
    const page = await served({ token });
    await browser.look(1280, "light");
    await browser.open(page.url);
    const signIn = async (text: string) => {
      await browser.evaluate(`document.querySelector("input").value = "${text}"`);
      await click("form button");
    };
    await signIn("wrong-token");
    await until(`document.querySelector("[role=alert]")?.textContent === "This is not the token."`);
    await signIn(token);
    await until(`document.querySelectorAll(".camera").length === 3`);

    // Localhost is another site than 127.0.0.1: a strict cookie is not sent with its links.
    const other = createServer((_, response) => {
      response.setHeader("Content-Type", "text/html").end(`<a href="${page.url}">page</a>`);
    }).listen(0, "127.0.0.1");
    onTestFinished(() => {
      other.closeAllConnections();
      other.close();
    });
    await new Promise((resolve) => other.once("listening", resolve));
    await browser.open(`http://localhost:${(other.address() as AddressInfo).port}/`);
    await click("a");
    await until(`document.querySelectorAll(".camera").length === 3`);
    expect(await browser.evaluate("location.href")).toBe(page.url);
  });
});
