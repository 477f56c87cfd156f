import { readdir, readFile, rm } from "node:fs/promises";
import { extname, join } from "node:path";
import { Command, Option } from "commander";
import sharp from "sharp";
import { counted } from "../../counted.js";
import { type SceneAnomaly, sceneAnomalies } from "../../data/scene/actors.js";
import {
  type NamedSceneVideo,
  type SceneDatasetSettings,
  sceneDatasetSettings,
  sceneVideos,
} from "../../data/scene/dataset.js";
import { createScene, type Scene, type SceneTruth } from "../../data/scene/scene.js";
import { type SceneView, sceneViews } from "../../data/scene/stage.js";
import { InputError } from "../../errors.js";
import { mkdirs, writeFileAtomic } from "../../node/files/atomic.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { inFlight } from "../../node/media/in_flight.js";
import { encodePng } from "../../node/media/png_write.js";
import type { Size } from "../../ops/resize.js";
import { anomalyNames, numberIn, parseSize, wholeNumber } from "../options/parse.js";
import { sceneSheet } from "../outputs/scene_sheet.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";

type Format = "png" | "jpg";

interface MakeSceneOptions {
  seed: number;
  train: number;
  test: number;
  frames: number;
  size: Size;
  fps: number;
  anomalies: readonly SceneAnomaly[];
  view: SceneView;
  varyCamera?: boolean;
  format: Format;
  preview?: string;
  force?: boolean;
  quiet?: boolean;
}

/** To be raised if the same settings no longer give the same bytes. */
const VERSION = 1;
const SETTINGS_FILE = "scene.json";
const SPLITS = ["train", "test"] as const;
const IMAGES_IN_FLIGHT = 4;

/** `make-scene OUT`: writes a data set of a drawn street, with frames, labels, masks and tracks. */
export function makeSceneCommand(): Command {
  return new Command("make-scene")
    .summary("write a data set of a drawn street")
    .description(
      "Writes a data set of a procedurally drawn street with a fixed camera: normal training videos, and test videos with anomalies, " +
        "labels, pixel masks and tracks. The same settings give the same files; a run that was stopped continues.",
    )
    .argument("[out]", "the folder to write; not needed with --preview")
    .addOption(new Option("--seed <n>", "seed of the street and its videos").default(1).argParser(wholeNumber(0)))
    .addOption(new Option("--train <n>", "number of training videos").default(8).argParser(wholeNumber(0, 10_000)))
    .addOption(new Option("--test <n>", "number of test videos").default(6).argParser(wholeNumber(0, 10_000)))
    .addOption(new Option("--frames <n>", "frames per video").default(200).argParser(wholeNumber(1, 100_000)))
    .addOption(
      new Option("--size <HxW>", "size of a frame, height x width in pixels")
        .default({ height: 240, width: 360 }, "240x360")
        .argParser(parseSize),
    )
    .addOption(new Option("--fps <n>", "frames per second").default(25).argParser(numberIn(1, 1000)))
    .addOption(
      new Option("--anomalies <names>", "what happens in the test videos")
        .default(sceneAnomalies, sceneAnomalies.join(","))
        .argParser(anomalyNames),
    )
    .addOption(
      new Option("--view <name>", "camera far from or close to the people").choices(sceneViews).default("wide"),
    )
    .option("--vary-camera", "let the seed place the camera too")
    .addOption(new Option("--format <format>", "file format of the frames").choices(["png", "jpg"]).default("png"))
    .option("--preview <file>", "write a contact sheet (.png): a row per video, anomalies in red")
    .option("--force", "replace train/ and test/ of OUT")
    .option("-q, --quiet", "no progress, no summary")
    .addHelpText(
      "after",
      examples("node tools/make-scene.js scene/ --seed 7", "node tools/make-scene.js --preview sheet.png"),
    )
    .action((out: string | undefined, options: MakeSceneOptions) =>
      interruptible((signal) => makeScene(out, options, signal)),
    );
}

async function makeScene(out: string | undefined, options: MakeSceneOptions, signal: AbortSignal): Promise<void> {
  const { preview, format, quiet = false } = options;
  if (out === undefined && preview === undefined) {
    throw new InputError("make-scene: give the folder to write, or --preview FILE.png");
  }
  if (preview !== undefined && extname(preview).toLowerCase() !== ".png") {
    throw new InputError(`--preview ${oneLine(preview)}: the name must end in .png`);
  }
  const { seed, train, test, frames, fps, anomalies, view, varyCamera = false } = options;
  const { width, height } = options.size;
  const settings = sceneDatasetSettings({ seed, width, height, fps, view, varyCamera, train, test, frames, anomalies });
  const scene = createScene(settings);
  if (out !== undefined) {
    await prepareFolder(out, { version: VERSION, ...settings, format }, options.force ?? false);
    await writeDataset(out, scene, settings, format, quiet, signal);
  }
  if (preview !== undefined) {
    signal.throwIfAborted();
    await writeFileAtomic(preview, await sceneSheet(scene, settings));
    if (!quiet) console.log(`contact sheet  ${preview}`);
  }
}

/**
 * Makes the folder of a data set with these settings.
 * @throws InputError if it holds something else, or cannot be written
 */
async function prepareFolder(out: string, settings: Record<string, unknown>, force: boolean): Promise<void> {
  const file = join(out, SETTINGS_FILE);
  const wanted = `${JSON.stringify(settings, null, 2)}\n`;
  try {
    await mkdirs(out);
    if ((await readdir(out)).length > 0) {
      const found = await readFile(file, "utf8").catch(() => undefined);
      if (found === wanted) return;
      if (!force) {
        const what = found === undefined ? "is not empty" : "holds a scene with other settings or of another version";
        throw new InputError(
          `${oneLine(out)} ${what}: choose another folder, or replace its train/ and test/ with --force`,
        );
      }
      for (const split of SPLITS) await rm(join(out, split), { recursive: true, force: true });
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${oneLine(out)} cannot be written (${reasonOf(error)})`);
  }
  await writeFileAtomic(file, wanted);
}

async function writeDataset(
  out: string,
  scene: Scene,
  settings: SceneDatasetSettings,
  format: Format,
  quiet: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { train, test, frames } = settings;
  const progress = new Progress("frames", (train + test) * frames, quiet);
  let [written, abnormal] = [0, 0];
  const happenings: string[] = [];
  try {
    for (const split of SPLITS) {
      for (const one of sceneVideos(scene, split, settings)) {
        const done = await writeVideo(join(out, split), scene, one, split === "test", format, signal, () =>
          progress.advance(),
        );
        written += done.written;
        abnormal += done.abnormal;
        if (split === "test") happenings.push(`${one.name} ${one.anomalies.join(", ")}`);
      }
    }
  } finally {
    progress.stop();
  }
  if (quiet) return;
  const { width, height, fps } = scene;
  console.log(`scene          seed ${scene.seed}, ${height}x${width}, ${fps} frames/s`);
  console.log(`train          ${counted(train, "video")} of ${counted(frames, "frame")}, all normal`);
  console.log(
    `test           ${counted(test, "video")} of ${counted(frames, "frame")}, ${abnormal} of ${counted(test * frames, "frame")} abnormal`,
  );
  for (const line of happenings) console.log(`               ${line}`);
  console.log(
    `written        ${out}: ${counted(written, "file")} in ${progress.seconds.toFixed(1)} s; files that were there already are kept`,
  );
}

/** Writes the missing files of a video into its split's folder. */
async function writeVideo(
  folder: string,
  scene: Scene,
  { name, video }: NamedSceneVideo,
  withTruth: boolean,
  format: Format,
  signal: AbortSignal,
  advance: () => void,
): Promise<{ written: number; abnormal: number }> {
  const { width, height } = scene;
  const { frameCount } = video;
  const digits = Math.max(3, String(frameCount - 1).length);
  const framesFolder = join(folder, "frames", name);
  const masksFolder = join(folder, "masks", name);
  const [framesThere, masksThere] = [await folderOf(framesFolder), withTruth ? await folderOf(masksFolder) : new Set()];
  let written = 0;
  const write = async (path: string, data: Uint8Array | string) => {
    await writeFileAtomic(path, data);
    written++;
  };
  const truths: Pick<SceneTruth, "boxes" | "label">[] = [];
  const numbers = Array.from({ length: frameCount }, (_, frame) => frame);
  await inFlight(numbers, IMAGES_IN_FLIGHT, async (frame) => {
    signal.throwIfAborted();
    const number = String(frame).padStart(digits, "0");
    const [imageName, maskName] = [`${number}.${format}`, `${number}.png`];
    const rendered = framesThere.has(imageName) ? undefined : video.render(frame);
    if (rendered) await write(join(framesFolder, imageName), await encode(rendered.image, width, height, format));
    if (withTruth) {
      const { mask, boxes, label } = rendered ?? video.truth(frame);
      truths[frame] = { boxes, label };
      if (!masksThere.has(maskName)) await write(join(masksFolder, maskName), await encodeMask(mask, width, height));
    }
    advance();
  });
  if (withTruth) {
    const rows = truths.flatMap(({ boxes }) => boxes);
    const tracks = rows.map(({ track, frame, x1, y1, x2, y2 }) => `${[track, frame, x1, y1, x2, y2].join(",")}\n`);
    const labels = truths.map(({ label }) => `${label}\n`);
    for (const [kind, lines] of Object.entries({ labels, tracks })) {
      const there = await folderOf(join(folder, kind));
      if (!there.has(`${name}.txt`)) await write(join(folder, kind, `${name}.txt`), lines.join(""));
    }
  }
  return { written, abnormal: truths.filter(({ label }) => label === 1).length };
}

/** Makes a folder; returns the names of the files in it. */
async function folderOf(path: string): Promise<Set<string>> {
  try {
    await mkdirs(path);
    return new Set(await readdir(path));
  } catch (error) {
    throw new InputError(`${oneLine(path)} cannot be written (${reasonOf(error)})`);
  }
}

async function encode(bgr: Uint8Array, width: number, height: number, format: Format): Promise<Buffer> {
  const png = await encodePng(bgr, width, height);
  return format === "png" ? png : sharp(png).jpeg({ quality: 92 }).toBuffer();
}

function encodeMask(mask: Uint8Array, width: number, height: number): Promise<Buffer> {
  const gray = mask.map((value) => value * 255);
  return sharp(gray, { raw: { width, height, channels: 1 } })
    .toColourspace("b-w")
    .png()
    .toBuffer();
}
