import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { serveWeb } from "../../../src/server/web/serve.js";
import { refusal } from "../../support/refusal.js";

const app = { fetch: () => new Response("here") };

test("the address of a page leads to it, also if it listens everywhere or by IPv6", async () => {
  for (const [host, url] of [
    ["127.0.0.1", /^http:\/\/127\.0\.0\.1:\d+\/$/],
    ["0.0.0.0", /^http:\/\/127\.0\.0\.1:\d+\/$/],
    ["localhost", /^http:\/\/localhost:\d+\/$/],
  ] as const) {
    const page = await serveWeb(app, { host, port: 0 });
    expect(page.url).toMatch(url);
    expect(await (await fetch(page.url)).text()).toBe("here");
    await page.close();
    await expect(fetch(page.url)).rejects.toThrow();
  }
});

test("an address that cannot be used is refused in one line", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  onTestFinished(() => void other.close());
  const { port } = other.address() as AddressInfo;
  expect(await refusal(serveWeb(app, { host: "127.0.0.1", port }))).toBe(
    `the page cannot be served at 127.0.0.1:${port}: another program uses this port; take another one (--port)`,
  );
  expect(await refusal(serveWeb(app, { host: "203.0.113.1", port: 0 }))).toBe(
    "the page cannot be served at 203.0.113.1:0: this machine does not have this address",
  );
});

test("the process keeps its own Request and Response", async () => {
  const before = [globalThis.Request, globalThis.Response];
  const page = await serveWeb(app, { host: "127.0.0.1", port: 0 });
  await page.close();
  expect([globalThis.Request, globalThis.Response]).toEqual(before);
});
