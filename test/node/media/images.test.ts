import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/errors.js";
import { decodeImage, imageFormat, readImage } from "../../../src/node/media/images.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const fixtures = fixturePath("images");
/** What cv2.imread gives for each file, written by make.py beside them. */
const { images } = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8")) as {
  images: Record<string, { width: number; height: number; bgr: string }>;
};

const at = scratch();

/** The message with which decoding fails. */
const failure = (bytes: Uint8Array, name = "x.png") => refusal(decodeImage(bytes, name));

describe("images are read as cv2.imread reads them", () => {
  test.each(Object.keys(images))("%s", async (name) => {
    const expected = images[name];
    const image = await readImage(join(fixtures, name));
    expect([image.width, image.height]).toEqual([expected.width, expected.height]);
    const bgr = Buffer.from(expected.bgr, "base64");
    expect(image.data.length).toBe(bgr.length);
    let worst = 0;
    for (let i = 0; i < bgr.length; i++) worst = Math.max(worst, Math.abs(bgr[i] - image.data[i]));
    // OpenCV rounds 16-bit colour TIFFs only; in other files it drops the low byte. Lossy decoders
    // may round differently from one version of a library to the next.
    const tolerance = name === "rgb16.tif" ? 1 : /\.jpg$|^lossy/.test(name) ? 2 : 0;
    expect(worst).toBeLessThanOrEqual(tolerance);
  });
});

test("an orange and a blue pixel, written by sharp, come back", async () => {
  const rgb = Buffer.from([255, 128, 0, 0, 0, 255]);
  const made = sharp(rgb, { raw: { width: 2, height: 1, channels: 3 } });
  for (const bytes of [
    await made.clone().png().toBuffer(),
    await made.clone().tiff({ compression: "lzw" }).toBuffer(),
    await made.clone().webp({ lossless: true }).toBuffer(),
  ]) {
    const image = await decodeImage(bytes, "x");
    expect([...image.data]).toEqual([0, 128, 255, 255, 0, 0]);
  }
});

test("the content decides on the format, not the name", async () => {
  const jpeg = readFileSync(join(fixtures, "color.jpg"));
  expect(imageFormat(jpeg)).toBe("jpeg");
  expect(imageFormat(Buffer.from("BMW is a car, not an image"))).toBeUndefined();
  const image = await decodeImage(jpeg, "wrong.png");
  expect([image.width, image.height]).toEqual([48, 40]);
});

test("files that are not images are refused", async () => {
  expect(await failure(Buffer.from("hello"), "a\nb.png")).toBe("a b.png is not a PNG, JPEG, TIFF, BMP or WebP image");
  expect(await failure(new Uint8Array(0))).toBe("x.png is an empty file, not an image");
  await expect(readImage(at("none.png"))).rejects.toThrow("none.png cannot be read: no such file or folder");
  await expect(readImage(at())).rejects.toThrow("it is not a file");
});

test("an absurd size is refused before anything is allocated", async () => {
  const png = Uint8Array.from(readFileSync(join(fixtures, "rgb8.png")));
  new DataView(png.buffer).setUint32(16, 0x7fffffff);
  expect(await failure(png)).toBe(
    "x.png cannot be decoded as PNG: it is 2147483647×9 pixels; a side may have at most 16384",
  );
  const bmp = Uint8Array.from(readFileSync(join(fixtures, "rgb24.bmp")));
  new DataView(bmp.buffer).setInt32(18, 20000, true);
  expect(await failure(bmp, "x.bmp")).toContain("a side may have at most 16384");
});

describe("damaged PNGs that would hang or end the process in png-js", () => {
  const good = () => Uint8Array.from(readFileSync(join(fixtures, "rgb8.png")));
  /** The fixture with other pixel data, and right checksums. */
  const rebuilt = async (change: (idat: Uint8Array) => Uint8Array) => {
    const { crc32 } = await import("node:zlib");
    const chunk = (type: string, content: Uint8Array) => {
      const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
      const out = Buffer.alloc(body.length + 8);
      out.writeUInt32BE(content.length);
      body.copy(out, 4);
      out.writeUInt32BE(crc32(body), body.length + 4);
      return out;
    };
    const header = good().subarray(0, 33);
    return Buffer.concat([header, chunk("IDAT", change(new Uint8Array(9 * 40))), chunk("IEND", new Uint8Array(0))]);
  };

  test("png-js alone hangs on a chunk of negative length", () => {
    const hostile = Buffer.concat([good().subarray(0, 33), Buffer.from([0xff, 0xff, 0xff, 0xf4]), Buffer.from("abcd")]);
    const file = at("hang.png");
    writeFileSync(file, Buffer.concat([hostile, Buffer.alloc(100)]));
    const code = `import PNG from "png-js"; import fs from "node:fs"; new PNG(fs.readFileSync(${JSON.stringify(file)}))`;
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", code], { timeout: 1000 });
    expect(run.error).toMatchObject({ code: "ETIMEDOUT" });
  });

  test("a chunk of negative length", async () => {
    const hostile = Buffer.concat([good().subarray(0, 33), Buffer.from([0xff, 0xff, 0xff, 0xf4]), Buffer.from("abcd")]);
    expect(await failure(Buffer.concat([hostile, Buffer.alloc(100)]))).toContain("cut off in a chunk abcd");
  });

  test("pixel data that zlib cannot read", async () => {
    expect(await failure(await rebuilt((raw) => raw))).toContain("its pixel data is damaged (");
  });

  test("a row with an unknown filter", async () => {
    const { deflateSync } = await import("node:zlib");
    const bytes = await rebuilt((raw) => deflateSync(raw.fill(9, 80, 81)));
    expect(await failure(bytes)).toContain("a row has an unknown filter");
  });

  test("pixel data that ends early, or that unpacks to far too much", async () => {
    const { deflateSync } = await import("node:zlib");
    expect(await failure(await rebuilt((raw) => deflateSync(raw.subarray(40))))).toContain("its pixel data ends early");
    expect(await failure(await rebuilt(() => deflateSync(new Uint8Array(1e7))))).toContain("its pixel data is damaged");
  });
});

describe("a file that is cut off or has a wrong byte, anywhere, decodes or fails with one line", () => {
  test.each(["rgb8.png", "palette8.png", "rgb8-interlaced.png", "palette8-used20-gap.bmp", "rgba32-masks.bmp"])(
    "%s",
    async (name) => {
      const good = readFileSync(join(fixtures, name));
      for (let length = 1; length < good.length; length += 7) await failure(good.subarray(0, length), name);
      for (let at = 0; at < good.length; at += 3) {
        const bad = Uint8Array.from(good);
        bad[at] ^= 0xff;
        await decodeImage(bad, name).catch((error) => {
          expect(error).toBeInstanceOf(InputError);
          expect(error.message).not.toMatch(/[\n\r]/);
        });
      }
    },
  );

  test.each(["color.jpg", "rgb8.tif", "lossy.webp"])("%s", async (name) => {
    const good = readFileSync(join(fixtures, name));
    for (const part of [0.3, 0.6, 0.9]) {
      const message = await failure(good.subarray(0, Math.floor(good.length * part)), name);
      expect(message.startsWith(`${name} cannot be decoded as `)).toBe(true);
    }
  });
});
