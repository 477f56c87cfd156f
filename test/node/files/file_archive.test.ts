import { expect, test } from "vitest";
import { FileArchive } from "../../../src/node/files/file_archive.js";
import { scratch } from "../../support/folders.js";

const at = scratch();

test("frames come back as they were, and what the disk has no room for is noticed before", async () => {
  const archive = await FileArchive.create(at());
  expect(await archive.expect(10)).toBeUndefined();
  for (const frame of [Uint8Array.of(1, 2, 3), Uint8Array.of(4), new Uint8Array(5)]) await archive.add(frame);
  expect(await archive.read(1)).toEqual(Uint8Array.of(4));
  expect(await archive.read(0)).toEqual(Uint8Array.of(1, 2, 3));
  expect(await archive.expect(1e18)).toMatch(
    /: decoded frames need 1000000000\.0 GB for a while, and [\d.]+ GB are free; smaller videos/,
  );
  await archive.close();
});
