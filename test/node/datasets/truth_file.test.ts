import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { deflateSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import type { DatasetVideo } from "../../../src/data/dataset.js";
import { openDataset } from "../../../src/node/datasets/index.js";
import { frames, image, rectangles, size, text } from "../../support/dataset.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const fixture = (name: string) => fixturePath(`ground_truth/${name}`);

beforeEach(() => frames(at("set/test/frames/01"), [1, 2, 3, 4]));

/** The video whose labels or masks are a file of these bytes. */
async function videoWith(place: string, content: string | Uint8Array): Promise<DatasetVideo> {
  mkdirSync(dirname(at("set/test", place)), { recursive: true });
  if (typeof content === "string") copyFileSync(fixture(content), at("set/test", place));
  else writeFileSync(at("set/test", place), content);
  return (await openDataset(at("set"))).test[0] as DatasetVideo;
}

const labelsOf = async (video: DatasetVideo) => [...((await video.labels?.()) ?? [])];

/** The masks of the four frames of the fixtures. */
const expected = [rectangles(), rectangles([1, 3, 2, 5, 4]), rectangles([1, 15, 7, 15, 7]), rectangles()].map(
  (data) => ({ ...size, data: Uint8Array.from(data) }),
);

describe("labels", () => {
  it.each(["labels_int8.npy", "labels_bool.npy", "labels_255.npy", "masks_uint8.npy", "masks_fortran.npy"])(
    "are read from NumPy's %s",
    async (name) => {
      expect(await labelsOf(await videoWith("labels/01.npy", name))).toEqual([0, 1, 1, 0]);
    },
  );

  it.each(["1_label.mat", "double.mat", "volume.mat", "struct.mat", "structs.mat"])(
    "are read from SciPy's %s",
    async (name) => {
      expect(await labelsOf(await videoWith("labels/01.mat", name))).toEqual([0, 1, 1, 0]);
    },
  );

  it.each([
    ["0 and 255", "txt", "0\n255\n255\n0\n"],
    ["true and false", "txt", "False\nTrue\ntrue\nfalse\n"],
    ["ranges with a dash", "txt", "1-2\n"],
    ["ranges with blanks and dashes", "txt", "1 - 1, 2-2\n"],
    ["ranges of two numbers", "txt", "1 2\n"],
    ["ranges in a table", "csv", "start,end\n1,2\n"],
    ["a column", "csv", "0\n1\n1\n0\n"],
    ["a column with a name", "csv", "label\n0\n1\n1\n0\n"],
    ["frames and labels", "csv", "1,0\n2,1\n3,1\n4,0\n"],
    ["frames and labels with names", "csv", '"frame","time","is_abnormal"\n1,0.1,0\n2,0.2,1\n3,0.3,1\n4,0.4,0\n'],
  ])("are read as %s", async (_, ending, content) => {
    expect(await labelsOf(await videoWith(`labels/01.${ending}`, Buffer.from(content)))).toEqual([0, 1, 1, 0]);
  });

  it("are all normal in a table without a range", async () => {
    expect(await labelsOf(await videoWith("labels/01.csv", Buffer.from("start,end\n")))).toEqual([0, 0, 0, 0]);
  });

  it("are read from UTF-16 with a byte order mark, as PowerShell writes it", async () => {
    const little = Buffer.from("\uFEFF0\r\n1\r\n1\r\n0\r\n", "utf16le");
    expect(await labelsOf(await videoWith("labels/01.txt", little))).toEqual([0, 1, 1, 0]);
    expect(await labelsOf(await videoWith("labels/01.txt", Buffer.from(little).swap16()))).toEqual([0, 1, 1, 0]);
    const bare = await videoWith("labels/01.txt", little.subarray(2));
    expect(await refusal(bare.labels?.())).toContain("01.txt cannot be read: it is not text in UTF-8");
  });

  it.each([
    [
      "a range beyond the video",
      "txt",
      "2-4\n",
      "01.txt:1: the frames 2 to 4 are abnormal, but the video's are 0 to 3",
    ],
    ["a range that ends before it begins", "txt", "3 2\n", "01.txt:1: 3 to 2 is not a range of frames"],
    ["labels among ranges", "txt", "1-2\n1\n", '01.txt:2: "1" is not a range of frames, such as 61-180'],
    [
      "a table without labels",
      "csv",
      "frame,score\n0,1\n",
      "01.csv:1: none of the columns frame, score is named label",
    ],
    ["too few values", "npy", undefined, "01.npy has 3 labels, but its video has 4 frames"],
  ])("are refused: %s", async (_, ending, content, message) => {
    const bytes = content === undefined ? npy("|u1", "(3,)", Buffer.alloc(3)) : Buffer.from(content);
    expect(await refusal((await videoWith(`labels/01.${ending}`, bytes)).labels?.())).toContain(message);
  });

  it("of another name are mentioned, and fit in any form of Unicode", async () => {
    text(at("set/test/labels/1.txt"), "0\n1\n1\n0\n");
    expect((await openDataset(at("set"))).notes).toContain(
      "test/labels holds 1.txt, which fits no video: a label file has its video's name, such as 01.txt",
    );
    await frames(at("other/test/frames", "caméra".normalize("NFD")), [0]);
    text(at("other/test/labels", `${"caméra".normalize("NFC")}.txt`), "1\n");
    expect(await labelsOf((await openDataset(at("other"))).test[0] as DatasetVideo)).toEqual([1]);
  });
});

describe("masks", () => {
  it.each([
    ["masks/01.npy", "masks_uint8.npy"],
    ["test_pixel_mask/01.npy", "masks_fortran.npy"],
    ["masks/01.npy", "masks_version2.npy"],
    ["masks/01.npy", "masks_version3.npy"],
    ["labels/01.npy", "masks_uint8.npy"],
    ["masks/01.mat", "1_label.mat"],
    ["masks/01.mat", "double.mat"],
    ["masks/01.mat", "volume.mat"],
    ["masks/01.mat", "structs.mat"],
    ["labels/1_label.mat", "1_label.mat"],
  ])("in test/%s are read from %s", async (place, name) => {
    const video = await videoWith(place, name);
    for (const frame of [2, 0, 1, 3]) expect(await video.mask?.(frame)).toEqual(expected[frame]);
  });

  it("of JPEG images count from 128 on, and are refused if they never reach it", async () => {
    const frame = { width: 64, height: 48 };
    const box = Array.from({ length: 64 * 48 }, (_, i) =>
      i % 64 > 20 && i % 64 < 52 && i / 64 > 5 && i / 64 < 30 ? 1 : 0,
    );
    await image(at("jpeg/test/frames/01/1.png"), 0, frame);
    await image(
      at("jpeg/test/masks/01/1.jpg"),
      box.map((value) => 255 * value),
      frame,
    );
    const [video] = (await openDataset(at("jpeg"))).test;
    expect((await video?.mask?.(0))?.data).toEqual(Uint8Array.from(box));
    await image(at("jpeg/test/masks/01/1.jpg"), box, frame);
    expect(await refusal(video?.mask?.(0))).toMatch(/1\.jpg is compressed with loss and has values up to \d+/);
  });

  it("must have the video's frames and size", async () => {
    const three = await videoWith("masks/01.npy", npy("|u1", "(3, 8, 16)", Buffer.alloc(384)));
    expect(await refusal(three.mask?.(0))).toContain("01.npy has 3 masks, but its video has 4 frames");
    const turned = await videoWith("masks/01.npy", npy("|u1", "(4, 16, 8)", Buffer.alloc(512)));
    expect(await refusal(turned.mask?.(0))).toContain("01.npy is 8×16 pixels, but the frames of its video are 16×8");
  });
});

/** A .npy file of format 1. */
function npy(descr: string, shape: string, values: Uint8Array, rest = ""): Uint8Array {
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }${rest}\n`;
  const start = Buffer.from("\x93NUMPY\x01\x00\x00\x00", "latin1");
  start.writeUInt16LE(header.length, 8);
  return Buffer.concat([start, Buffer.from(header), values]);
}

describe("a file that was not downloaded is named as what it is", () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"4d7a".repeat(16)}\nsize 3729\n`;
  const page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>";
  const cases: [string, string][] = [
    [pointer, 'a Git LFS pointer, not the file itself (3729 bytes); run "git lfs pull" in its repository'],
    [page, 'a web page ("Sign in"), not the file itself; download it again, logged in or by the direct link'],
    ['{"message": "Not Found"}', 'a server\'s answer in JSON, not the file itself: "Not Found"'],
  ];

  it.each(["txt", "csv", "npy", "mat"])("in place of labels, .%s", async (ending) => {
    for (const [content, what] of cases) {
      const video = await videoWith(`labels/01.${ending}`, Buffer.from(content));
      expect(await refusal(video.labels?.())).toBe(`${at("set/test/labels", `01.${ending}`)}: ${what}`);
    }
  });

  it.each(["01.npy", "01.mat", "01/2.png"])("in place of masks, %s", async (name) => {
    const others = name.endsWith("png") ? [1, 3, 4] : [];
    for (const number of others) await image(at("set/test/masks/01", `${number}.png`), 0);
    for (const [content, what] of cases) {
      const video = await videoWith(`masks/${name}`, Buffer.from(content));
      expect(await refusal(video.mask?.(1))).toBe(`${at("set/test/masks", name)}: ${what}`);
    }
  });

  it("in place of tracks, a frame and a video", async () => {
    for (const [content, what] of cases) {
      const video = await videoWith("tracks/01.txt", Buffer.from(content));
      expect(await refusal(video.tracks?.())).toBe(`${at("set/test/tracks/01.txt")}: ${what}`);
    }
    text(at("set/test/frames/01/001.png"), pointer);
    const [frame, file] = [at("set/test/frames/01/001.png"), at("set/test/frames/02.mp4")];
    text(file, pointer);
    const { test } = await openDataset(at("set"));
    expect(await refusal(test[0]?.open())).toBe(`${frame}: ${cases[0]?.[1]}`);
    expect(await refusal(test[1]?.open())).toBe(`${file}: ${cases[0]?.[1]}`);
  });
});

describe("a .npy file is refused", () => {
  const good = readFileSync(fixture("labels_int8.npy"));
  it.each([
    ["with Python objects", readFileSync(fixture("objects.npy")), "holds Python objects, which are not read"],
    ["with records", readFileSync(fixture("records.npy")), "holds values of the type [('label', '|u1')]"],
    ["with text", npy("<U4", "(4,)", Buffer.alloc(64)), "holds values of the type '<U4'"],
    ["with complex numbers", npy("<c8", "(4,)", Buffer.alloc(32)), "holds values of the type '<c8'"],
    ["that is cut off", good.subarray(0, -1), "has 3 bytes of values, but its shape, 4, needs 4"],
    ["that is cut off in its header", good.subarray(0, 60), "is cut off in its header"],
    ["of an impossible shape", npy("|u1", "(4, 99999999999999, 9999999)", Buffer.alloc(4)), "has 4 bytes of values"],
    ["of a negative shape", npy("|u1", "(-4,)", Buffer.alloc(4)), "has a damaged header"],
    ["with code in its header", npy("|u1", "(4,).__class__", Buffer.alloc(4)), "has a damaged header"],
    ["with more behind its header", npy("|u1", "(4,)", Buffer.alloc(4), "; import os"), "has a damaged header"],
    ["of another version", Buffer.concat([good.subarray(0, 6), Buffer.of(9), good.subarray(7)]), "has version 9"],
    ["that is an archive", Buffer.from("PK\x03\x04 and so on"), "is an .npz archive: save its array alone"],
    ["that is something else", Buffer.from("P5 8 8 255"), "is not a .npy file of NumPy"],
    ["that is empty", Buffer.alloc(0), "is not a .npy file of NumPy"],
    ["of two dimensions", npy("|u1", "(2, 2)", Buffer.alloc(4)), "has the shape 2×2: labels are one value per frame"],
    ["of other values", npy("|i1", "(4,)", Buffer.of(0, 1, 0xff, 0)), "a label is 0 (normal) or 1 (abnormal), not -1"],
  ])("%s", async (_, bytes, message) => {
    const said = await refusal((await videoWith("labels/01.npy", bytes)).labels?.());
    expect(said).toContain(`01.npy`);
    expect(said).toContain(message);
  });
});

/** An element of a .mat file: type, size, data, padding. */
function element(type: number, data: Uint8Array, bytes = data.length): Buffer {
  const tag = Buffer.alloc(8);
  tag.writeUInt32LE(type, 0);
  tag.writeUInt32LE(bytes, 4);
  return Buffer.concat([tag, data, Buffer.alloc((8 - (data.length % 8)) % 8)]);
}

const words = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
/** An array of a class: 1 is a cell, 9 is uint8. */
const array = (type: number, dims: number[], name: string, content: Uint8Array, bytes?: number) => {
  const inner = [element(6, words(type, 0)), element(5, words(...dims)), element(1, Buffer.from(name)), content];
  return element(14, Buffer.concat(inner), bytes);
};
const mat = (...variables: Uint8Array[]) =>
  Buffer.concat([Buffer.from("MATLAB 5.0 MAT-file".padEnd(124)), Buffer.from("\x00\x01IM", "latin1"), ...variables]);
const packed = (content: Uint8Array) => {
  const bytes = deflateSync(content);
  const tag = Buffer.concat([words(15, bytes.length)]);
  return Buffer.concat([tag, bytes]);
};
const values = (count: number) => element(2, Buffer.alloc(count));

describe("a .mat file is refused", () => {
  const good = readFileSync(fixture("1_label.mat"));
  it.each([
    [
      "of version 7.3",
      Buffer.from("MATLAB 7.3 MAT-file".padEnd(600)),
      "has version 7.3 (HDF5), which is not read: load",
    ],
    ["that is HDF5", Buffer.from("\x89HDF\r\n\x1a\n".padEnd(600), "latin1"), "has version 7.3 (HDF5)"],
    [
      "that is something else",
      Buffer.from("version https://git-lfs".padEnd(130)),
      "is not a .mat file of MATLAB's version 5",
    ],
    ["that is empty", Buffer.alloc(0), "is not a .mat file of MATLAB's version 5 to 7"],
    ["that is cut off", good.subarray(0, 300), "is cut off"],
    [
      "with damaged compression",
      Buffer.concat([good.subarray(0, 150), Buffer.alloc(50, 7), good.subarray(200)]),
      "is damaged",
    ],
    ["of several arrays", readFileSync(fixture("several.mat")), "holds a, b: which one is meant is unknown"],
    [
      "without an array",
      mat(array(4, [1, 2], "comment", values(2))),
      "holds no labels and no masks, such as the cell volLabel; it holds comment, text of 1×2",
    ],
    [
      "whose cell has fewer elements",
      mat(array(1, [1, 4000], "volLabel", values(8))),
      "is damaged: an array is longer than it says",
    ],
    ["whose dimensions are impossible", mat(array(9, [0xffffffff, 4], "a", values(4))), "dimensions are impossible"],
    [
      "whose values are too few",
      mat(array(9, [1, 5], "a", values(4))),
      "is damaged: 4 bytes of values where 5 are needed",
    ],
    ["whose array is longer than the file", mat(array(9, [1, 4], "a", values(4), 4000)), "is cut off"],
    [
      "of huge masks",
      mat(packed(array(9, [60000, 60000, 1], "a", values(8)))),
      "has masks of 60000×60000 pixels: too large",
    ],
    [
      "of very many masks",
      mat(packed(array(9, [1, 1, 2 ** 22 + 1], "a", values(2 ** 22 + 1)))),
      "holds 4194305 masks: too many for a video",
    ],
    [
      "of masks in masks",
      mat(
        array(1, [1, 4], "volLabel", Buffer.concat(Array(4).fill(array(1, [1, 1], "", element(14, Buffer.alloc(0)))))),
      ),
      "element 1 is cell of 1×1",
    ],
  ])("%s", async (_, bytes, message) => {
    const said = await refusal((await videoWith("labels/01.mat", bytes)).labels?.());
    expect(said).toContain("01.mat");
    expect(said).toContain(message);
  });

  it("whose content does not end", async () => {
    // 64 MiB of zeros in 64 KiB, behind an array of 4 values; and in an array that claims them.
    const zeros = Buffer.alloc(64 * 2 ** 20);
    const short = await videoWith(
      "labels/01.mat",
      mat(packed(Buffer.concat([array(9, [1, 4], "a", values(4)), zeros]))),
    );
    expect(await labelsOf(short)).toEqual([0, 0, 0, 0]);
    const long = await videoWith("labels/01.mat", mat(packed(array(9, [1, zeros.length], "a", element(2, zeros)))));
    expect(await refusal(long.labels?.())).toContain("holds 67108864 elements: too many for a video");
  });

  it("that holds labels where masks are needed", async () => {
    expect(await refusal((await videoWith("masks/01.mat", "struct.mat")).mask?.(0))).toContain(
      "holds labels, not masks",
    );
  });
});
