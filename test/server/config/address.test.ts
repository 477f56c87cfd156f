import { describe, expect, it } from "vitest";
import { cameraIds, secretsOfAddress } from "../../../src/server/config/address.js";

describe("cameraIds", () => {
  it.each([
    ["rtsp://u:p@Front.local:554/x", "front"],
    ["https://10.0.0.7/x", "10-0-0-7"],
    ["rtsp://[fe80::1]/x", "fe80-1"],
    ["device:/dev/video2", "video2"],
    ["C:\\videos\\Hof 1.MP4", "hof-1"],
    ["frames/", "frames"],
    ["__proto__.mp4", "proto__"],
    ["übung.mp4", "bung"],
    ["日本.mp4", "camera"],
    [`${"x".repeat(60)}.mp4`, "x".repeat(40)],
  ])("names %s %s", (source, id) => {
    expect(cameraIds([source])).toEqual([id]);
  });

  it("makes them unique, and valid", () => {
    const long = `${"x".repeat(60)}.mp4`;
    expect(cameraIds(["a.mp4", "b/a.mp4", "a-2.mp4", long, long])).toEqual([
      ...["a", "a-2", "a-2-2", "x".repeat(40), `${"x".repeat(34)}-2`],
    ]);
  });
});

describe("secretsOfAddress", () => {
  it("finds the password, decoded, and keys of the query", () => {
    const text = "http://user:p%40ss@cam/x?channel=1&pwd=abc&apiToken=def&empty_key=";
    expect(secretsOfAddress(text, [])).toEqual(["p@ss", "abc", "def"]);
  });

  it("leaves variables alone that are the host, the user or the whole address", () => {
    const text = "rtsp://user:pass@Cam.local:554/path";
    expect(secretsOfAddress(text, ["user", "Cam.local", "554", text, "path"])).toEqual(["pass", "path"]);
  });
});
