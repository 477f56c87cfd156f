import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { EventLog } from "../../../src/server/event_log.js";
import { Outbox } from "../../../src/server/outbox.js";
import type { EventChange } from "../../../src/server/records.js";
import { webhookSink } from "../../../src/server/sinks/webhook.js";
import { scratchPerTest } from "../../support/folders.js";
import { inputErrorOf } from "../../support/refusal.js";

const root = scratchPerTest();
const time = "2026-11-30T14:15:02.123Z";
const change: EventChange = {
  change: "new",
  time,
  event: { id: "20261130T141502123-front-3f2a91", camera: "front", kind: "anomaly", start: time, zones: ["Tür"] },
};
const never = new AbortController().signal;

/** A server on a free port, or on a given one, that ends with the test. */
async function serve(listener: RequestListener, port = 0): Promise<{ server: Server; port: number; origin: string }> {
  const server = createServer(listener).listen(port, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => stop(server));
  const { port: own } = server.address() as AddressInfo;
  return { server, port: own, origin: `http://127.0.0.1:${own}` };
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of request.setEncoding("utf8")) text += part;
  return text;
}

/** The message of what a sink throws. */
const failureOf = (sending: Promise<void>): Promise<string> =>
  sending.then(
    () => "it arrived",
    (error: Error) => error.message,
  );

test("a change is posted as signed JSON, with a key by which a repetition is known", async () => {
  const got: { request: IncomingMessage; body: string }[] = [];
  const { origin } = await serve(async (request, response) => {
    got.push({ request, body: await bodyOf(request) });
    response.writeHead(204).end();
  });
  const sink = webhookSink({
    name: "phone",
    url: `${origin.replace("//", "//user:p%40ss@")}/hook?key=1`,
    secret: "s3cret",
    headers: { "X-Other": "value" },
  });
  await sink.send(change, never);
  await sink.send({ ...change, change: "update" }, never);
  const { request, body } = got[0];
  expect(`${request.method} ${request.url}`).toBe("POST /hook?key=1");
  expect(JSON.parse(body)).toEqual(change);
  expect(request.headers).toMatchObject({
    "content-type": "application/json",
    "x-other": "value",
    authorization: `Basic ${Buffer.from("user:p@ss").toString("base64")}`,
    "idempotency-key": `${change.event.id}/new`,
  });
  const [, stamp, digest] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers["x-sdmae-signature"])) ?? [];
  expect(digest).toBe(createHmac("sha256", "s3cret").update(`${stamp}.${body}`).digest("hex"));
  expect(got[1].request.headers["idempotency-key"]).toBe(`${change.event.id}/update/${time}`);
});

test("without a secret nothing is signed", async () => {
  let headers: IncomingMessage["headers"] = {};
  const { origin } = await serve((request, response) => {
    headers = request.headers;
    response.end("a text that nobody reads");
  });
  await webhookSink({ name: "phone", url: origin }).send(change, never);
  expect(headers).not.toHaveProperty("x-sdmae-signature");
  expect(headers).not.toHaveProperty("authorization");
});

test("errors name the status and the address, without login and query", async () => {
  const { origin, port } = await serve((_, response) => response.writeHead(500).end("x".repeat(100_000)));
  const url = `http://user:secret@127.0.0.1:${port}/hook?key=secret`;
  expect(await failureOf(webhookSink({ name: "phone", url }).send(change, never))).toBe(
    `${origin}/hook?…: answered 500`,
  );
});

test("redirects are not followed", async () => {
  const asked: (string | undefined)[] = [];
  const { origin } = await serve((request, response) => {
    asked.push(request.url);
    response.writeHead(307, { location: "/elsewhere" }).end();
  });
  expect(await failureOf(webhookSink({ name: "phone", url: `${origin}/hook` }).send(change, never))).toBe(
    `${origin}/hook: answered 307, a redirect; name the address it leads to instead`,
  );
  expect(asked).toEqual(["/hook"]);
});

test("a server that does not answer is given up", async () => {
  const { origin } = await serve(() => {});
  expect(await failureOf(webhookSink({ name: "phone", url: origin, timeout: 0.05 }).send(change, never))).toBe(
    `${origin}/: no answer within 0.05 s`,
  );
});

test("a delivery can be aborted, and then fails with the reason", async () => {
  const aborting = new AbortController();
  const { origin } = await serve(() => aborting.abort(new Error("closing")));
  expect(await failureOf(webhookSink({ name: "phone", url: origin }).send(change, aborting.signal))).toBe("closing");
});

test("a server that is not there is named without login and query", async () => {
  const { server, port } = await serve(() => {});
  await stop(server);
  const url = `http://user:secret@127.0.0.1:${port}/hook?key=secret`;
  const message = await failureOf(webhookSink({ name: "phone", url }).send(change, never));
  expect(message).toBe(`http://127.0.0.1:${port}/hook?…: connect ECONNREFUSED 127.0.0.1:${port}`);
});

test("addresses and headers that cannot be used are refused without showing secrets", () => {
  expect(inputErrorOf(() => webhookSink({ name: "phone", url: "ftp://u:secret@host/x" }))).toBe(
    "ftp://host/x: webhooks are sent to http and https only",
  );
  expect(() => webhookSink({ name: "phone", url: "https://:secret@" })).toThrow(
    "the address https://… is not a valid URL",
  );
  const headers = { "X-Token": "secret\nline" };
  expect(inputErrorOf(() => webhookSink({ name: "phone", url: "https://host", headers }))).toBe(
    "the header X-Token of a webhook has a name or value that cannot be sent",
  );
});

test("what happens while the server is down arrives once it is back, in order", async () => {
  const got: string[] = [];
  const listener: RequestListener = async (request, response) => {
    const { event } = JSON.parse(await bodyOf(request)) as EventChange;
    got.push(event.id);
    response.end();
  };
  const { server, port, origin } = await serve(listener);
  const log = await EventLog.open(root("events"));
  const results: string[] = [];
  let failed = () => {};
  const hasFailed = new Promise<void>((resolve) => {
    failed = resolve;
  });
  const outbox = await Outbox.open({
    log,
    sink: webhookSink({ name: "phone", url: origin }),
    folder: root("outbox"),
    clock: () => Date.parse(time),
    sleep: () => new Promise((resolve) => setTimeout(resolve, 5)),
    onResult: (result) => {
      results.push(result);
      if (result === "failed") failed();
    },
  });
  const append = async (id: string) => {
    await log.append({ ...change, event: { ...change.event, id } });
    outbox.notify();
  };
  await append("a");
  await outbox.drained();
  await stop(server);
  await append("b");
  await append("c");
  await hasFailed;
  await serve(listener, port);
  await outbox.drained();
  expect(got).toEqual(["a", "b", "c"]);
  expect(results.filter((result) => result === "delivered")).toHaveLength(3);
  await outbox.close();
  await log.close();
});
