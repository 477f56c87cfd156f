import { expect, test } from "vitest";
import { FileArchive } from "../../../src/node/files/file_archive.js";
import { scratch } from "../../support/folders.js";

const at = scratch();

test("frames come back as they were, and more than the disk has room for are refused at once", async () => {
  const archive = await FileArchive.create(at());
  await archive.expect(10);
  for (const frame of [Uint8Array.of(1, 2, 3), Uint8Array.of(4), new Uint8Array(5)]) await archive.add(frame);
  expect(await archive.read(1)).toEqual(Uint8Array.of(4));
  expect(await archive.read(0)).toEqual(Uint8Array.of(1, 2, 3));
  const refused = expect(archive.expect(1e18)).rejects;
  await refused.toThrow(/: decoded frames need 1000000000\.0 GB for a while, and [\d.]+ GB are free; smaller videos/);
  await archive.close();
});
