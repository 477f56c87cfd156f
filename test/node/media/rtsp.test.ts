import { afterAll, describe, expect, test } from "vitest";
import { openInput } from "../../../src/node/media/open.js";
import { useClips } from "../../support/clips.js";
import { refusal } from "../../support/refusal.js";
import { type Camera, type CameraOptions, startCamera } from "../../support/rtsp.js";

const { bytes: made, expectFrames } = useClips("a.ts");

describe("by RTSP", () => {
  /** Frames of a transport stream that ends: ffmpeg waits for what follows the last one. */
  const LIVE = 9;
  const cameras: Camera[] = [];
  afterAll(() => {
    for (const camera of cameras) camera.close();
  });
  const camera = async (options?: CameraOptions) => {
    cameras.push(await startCamera(made["a.ts"], options));
    return cameras[cameras.length - 1];
  };

  test("a camera gives its frames; it sees its own address", async () => {
    const { port, requests: asked } = await camera();
    await expectFrames(await openInput(`rtsp://localhost:${port}/live`), "a.ts", LIVE);
    const describe = asked.find((request) => request.startsWith("DESCRIBE"));
    expect(describe?.split(" ")[1]).toBe(`rtsp://localhost:${port}/live`);
    expect(asked.some((request) => request.includes(`SETUP rtsp://localhost:${port}/live/`))).toBe(true);
  });

  test("a camera is asked for what its address says, also with signs that replacements know", async () => {
    const { port, requests: asked } = await camera();
    const address = `rtsp://localhost:${port}/live?pw=a$&channel=$$1`;
    await expectFrames(await openInput(address), "a.ts", LIVE);
    expect(asked.find((request) => request.startsWith("DESCRIBE"))?.split(" ")[1]).toBe(address);
  });

  test("a camera that refuses TCP sends by UDP", async () => {
    const { port, requests: asked } = await camera({ udp: true });
    await expectFrames(await openInput(`rtsp://localhost:${port}/live`), "a.ts", LIVE);
    const setups = asked.filter((request) => request.startsWith("SETUP"));
    expect(setups[0]).toContain("RTP/AVP/TCP;unicast;interleaved=0-1");
    const [, video, control] = /Transport: RTP\/AVP;unicast;client_port=(\d+)-(\d+)\r/.exec(setups[1]) ?? [];
    expect(Number(video) % 2).toBe(0);
    expect(Number(control)).toBe(Number(video) + 1);
  });

  test("a camera that leaves without saying so is an error, after the frames before", async () => {
    const { port } = await camera({ breaksOff: true });
    const source = await openInput(`rtsp://localhost:${port}/live`);
    const numbers: number[] = [];
    const reading = (async () => {
      for await (const { number } of source.frames()) numbers.push(number);
    })();
    expect(await refusal(reading)).toBe(`rtsp://localhost:${port}/live: the camera closed the connection`);
    expect(numbers.length).toBeGreaterThanOrEqual(LIVE);
  });

  test.each(["Digest", "Basic"] as const)("name and password by %s", async (scheme) => {
    const { port } = await camera({ udp: scheme === "Basic", login: { user: "me", password: "s/cret", scheme } });
    const source = await openInput(`rtsp://me:s%2Fcret@localhost:${port}/live`);
    expect(source.name).toBe(`rtsp://localhost:${port}/live`);
    await expectFrames(source, "a.ts", LIVE);
    expect(await refusal(openInput(`rtsp://me:wrong@localhost:${port}/live`))).toMatch(
      /refuses this name and password$/,
    );
    expect(await refusal(openInput(`rtsp://localhost:${port}/live`))).toContain("needs a name and a password");
  });

  test("a redirect is not followed, and a camera that is not there is one line", async () => {
    const other = await camera();
    const { port } = await camera({ redirect: `rtsp://127.0.0.1:${other.port}/live` });
    expect(await refusal(openInput(`rtsp://localhost:${port}/live`))).toContain("redirects to another address");
    expect(other.requests).toEqual([]);
    expect(await refusal(openInput("rtsp://127.0.0.1:1/live"))).toContain("rtsp://127.0.0.1:1/live cannot be reached");
  });
});
