import { execFileSync } from "node:child_process";
import { openSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { openInput } from "../../../src/node/media/open.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();

/** The port of a server that says nothing; `heard` waits until somebody has spoken to it. */
async function silentServer() {
  const sockets: Socket[] = [];
  let hear: () => void;
  const heard = new Promise<void>((resolve) => {
    hear = resolve;
  });
  const server = createServer((socket) => {
    sockets.push(socket.on("data", () => hear()).on("error", () => {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, heard };
}

test.each(["rtsp", "http"])("opening what says nothing ends with its signal (%s)", async (scheme) => {
  const { port, heard } = await silentServer();
  const stopping = new AbortController();
  const ended = expect(openInput(`${scheme}://127.0.0.1:${port}/`, { signal: stopping.signal })).rejects.toThrow("now");
  await heard;
  stopping.abort(new Error("now"));
  await ended;
});

test("opening a pipe that says nothing ends with its signal", async () => {
  execFileSync("mkfifo", [at("pipe")]);
  const stopping = new AbortController();
  const options = { stdin: openSync(at("pipe"), "r+"), signal: stopping.signal };
  const ended = expect(openInput("-", options)).rejects.toThrow("now");
  setTimeout(() => stopping.abort(new Error("now")), 500);
  await ended;
});

test("a signal that came before ends the opening", async () => {
  const signal = AbortSignal.abort(new Error("before"));
  await expect(openInput("rtsp://127.0.0.1:9/", { signal })).rejects.toThrow("before");
});
