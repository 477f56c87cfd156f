// Files that were taken for checkpoints are named as what they are.

import { gzipSync, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { describeForeign } from "../../src/checkpoint/foreign.js";
import { parseSafetensors } from "../../src/checkpoint/safetensors.js";
import { isTrainingCheckpoint } from "../../src/checkpoint/training_checkpoint.js";
import { fixture } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

const text = (value: string) => new TextEncoder().encode(value);
const utf16 = (value: string) => Uint8Array.from([0xff, 0xfe, ...Buffer.from(value, "utf16le")]);
const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"4d7a".repeat(16)}\nsize 37294012\n`;
const page = "a web page, not the file itself; download it again, logged in or by the direct link";

const cases: [string, Uint8Array, string][] = [
  [
    "a Git LFS pointer",
    text(pointer),
    'a Git LFS pointer, not the file itself (37294012 bytes); run "git lfs pull" in its repository',
  ],
  [
    "a Git LFS pointer with Windows' line ends",
    text(pointer.replaceAll("\n", "\r\n")),
    'a Git LFS pointer, not the file itself (37294012 bytes); run "git lfs pull" in its repository',
  ],
  [
    "a git-annex pointer",
    text("/annex/objects/SHA256E-s37294012--4d7a.pth\n"),
    'a git-annex pointer, not the file itself; run "git annex get" in its repository',
  ],
  ["a web page", text("<html>not found</html>"), page],
  [
    "a web page with a title",
    text("\ufeff\n<!-- x -->\n<!DOCTYPE html>\n<html><head><title>\n Virus\nscan &amp; warning\u001b[1m</title>"),
    'a web page ("Virus scan &amp; warning\\u{1b}[1m"), not the file itself; download it again, logged in or by the direct link',
  ],
  ["a web page in UTF-16", utf16("<!doctype HTML><p>"), page],
  ["a web page in Latin-1", Uint8Array.from([...text("<html>caf"), 0xe9, ...text("</html>")]), page],
  [
    "XML",
    text('<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'),
    'a server\'s answer in XML, not the file itself: "Access Denied"',
  ],
  [
    "a JSON error",
    text('{"error": {"code": 404, "message": "Repository\\nnot found"}}'),
    'a server\'s answer in JSON, not the file itself: "Repository not found"',
  ],
  ["a JSON list of errors", text('[{"detail":"gone"}]'), 'a server\'s answer in JSON, not the file itself: "gone"'],
  ["other JSON", text('{"depth": 12}'), 'JSON, not a checkpoint; it begins "{"depth": 12}"'],
  ["text", text("Entry not found"), 'a text, not a checkpoint; it begins "Entry not found"'],
  ["nothing", new Uint8Array(0), "the file is empty"],
  ["zeros", new Uint8Array(5000), "5000 bytes, all of them 0; was the download not completed?"],
  ["a gzip archive", gzipSync(fixture("checkpoint/micro-bare.pth")), "a gzip archive; unpack it first"],
  [
    "an HDF5 file",
    Uint8Array.of(0x89, 0x48, 0x44, 0x46, 13, 10, 26, 10, 0),
    "an HDF5 file (perhaps Keras weights), which is not supported",
  ],
];

describe("a file that is not a checkpoint is named in one line", () => {
  for (const [what, bytes, message] of cases) {
    it(what, () => {
      for (const name of ["x.pth", "x.safetensors"]) {
        expect(inputErrorOf(() => openCheckpoint([{ name, bytes }]))).toBe(`${name}: ${message}`);
        expect(inputErrorOf(() => parseSafetensors(bytes, name))).toBe(`${name}: ${message}`);
        expect(isTrainingCheckpoint({ name, bytes })).toBe(false);
      }
    });
  }

  it("a zip archive around a checkpoint", () => {
    const bytes = zipSync({ "a/readme.txt": text("x"), "a/checkpoint-best.pth": text("x") });
    expect(inputErrorOf(() => openCheckpoint([{ name: "x.zip", bytes }]))).toBe(
      'x.zip: a zip archive around "a/checkpoint-best.pth"; unzip it, and give that file',
    );
  });

  it("a NumPy archive", () => {
    const bytes = zipSync({ "norm.bias.npy": text("x") });
    expect(inputErrorOf(() => openCheckpoint([{ name: "x.npz", bytes }]))).toBe(
      "x.npz: an archive of NumPy arrays, not a PyTorch checkpoint",
    );
  });

  it("a download that was cut off, wherever", () => {
    const file = fixture("checkpoint/wrapped-compiled-parallel.safetensors");
    const other = fixture("checkpoint/micro-bare.pth");
    for (const bytes of [file, other]) {
      for (const length of [3, 9, 50, 300, 5000, bytes.length - 300]) {
        const message = inputErrorOf(() => openCheckpoint([{ name: "x", bytes: bytes.subarray(0, length) }]));
        expect(message, `${length}`).toMatch(/^x: .*; was it cut off\?$/);
      }
    }
  });

  it("in a time that does not grow with the square of its size", () => {
    const start = performance.now();
    for (const part of ["<title", "<!--", "<title>", "<message>", "{[", " ", "\ufffd", "<?xml "]) {
      describeForeign(text(`<html>${part.repeat(1_000_000 / part.length)}`));
      describeForeign(text(part.repeat(1_000_000 / part.length)));
    }
    expect(performance.now() - start).toBeLessThan(3000);
  });
});
