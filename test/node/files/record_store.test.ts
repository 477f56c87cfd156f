import { basename } from "node:path";
import { expect, test } from "vitest";
import { recordPath } from "../../../src/node/files/record_store.js";

const made = { model: "m", settings: "{}", adapter: "a", dataset: "folder /videos" };
const nameOf = (video: string) => basename(recordPath(made, video, 7));

test("a record is called by its video, and the name fits into a file system whatever the video's is", () => {
  expect(nameOf("01/a b")).toBe("01%2Fa%20b.7.safetensors");
  const long = "視".repeat(60);
  expect(nameOf(long)).toMatch(/^%E8%A6%96.*-[0-9a-f]{16}\.7\.safetensors$/);
  expect(nameOf(long).length).toBeLessThan(220);
  expect(nameOf(`${long}一`)).not.toBe(nameOf(`${long}二`));
});
