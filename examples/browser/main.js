// Scores a local video with a local checkpoint, in the browser.
import { drawCurve, drawPicture, margin, TokenScale } from "./draw.js";
import { frameCount, framesOf, loadVideo, measureRate, seek, VideoError } from "./video.js";

const byId = (id) => document.getElementById(id);
const [form, video, curve, slider] = ["form", "video", "curve", "frame"].map(byId);
/** Greatest width of the picture of a frame that waits for its score, in pixels. */
const pictureWidth = 720;

/** @type {typeof import("../../dist/types/core.js")} */
let sdmae;
/** The current run: { results, scale, rate, count, name, running }. */
let run;
/** The index of the shown frame, and its picture. */
let [selected, picture] = [0, undefined];
let stopping;

function say(message) {
  byId("error").textContent = message;
  byId("error").hidden = !message;
}

/** The message of an error for the user. */
function explain(error) {
  if (error instanceof VideoError || error instanceof sdmae.InputError || error instanceof sdmae.GpuError) {
    return error.message;
  }
  console.error(error);
  return `Something unexpected happened: ${error?.message ?? error}`;
}

/** Why nothing can be scored here; empty if all is well. */
async function obstacle() {
  try {
    sdmae = await import("../../dist/core.js");
  } catch {
    return "dist/core.js cannot be loaded. Build it with npm run build, then reload this page.";
  }
  if (!window.isSecureContext) return "WebGPU needs a page from https:// or localhost. Open this page that way.";
  if (!navigator.gpu) {
    return "This browser has no WebGPU. Chrome and Edge from 113, Safari from 26 and Firefox from 141 have it on most machines.";
  }
  if (!(await navigator.gpu.requestAdapter().catch(() => null))) {
    return "This browser has WebGPU, but finds no GPU. Update the graphics driver, or turn on hardware acceleration in the browser's settings.";
  }
  return "";
}

/** Reads the chosen checkpoint files. The student's, known by its name, comes last. */
async function readCheckpoint(files) {
  if (files.length > 2) throw new VideoError("Choose one checkpoint file, or the teacher's and the student's.");
  const ordered = [...files].sort((a, b) => /student/i.test(a.name) - /student/i.test(b.name));
  return Promise.all(
    ordered.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })),
  );
}

function readOptions() {
  const [height, width] = byId("size").value.match(/\d+/g) ?? [];
  return {
    seed: Number(byId("seed").value),
    ...(height && { size: { height: Number(height), width: Number(width) } }),
  };
}

let redrawing = false;
/** Draws everything again, once before the next paint. */
function redraw() {
  if (redrawing || !run) return;
  redrawing = true;
  requestAnimationFrame(() => {
    redrawing = false;
    const { results, scale, rate, count } = run;
    const result = results[selected];
    const scores = results.map(({ score }) => score);
    drawCurve(curve, scores, count, rate, selected);
    if (!result) return;
    if (picture) drawPicture(byId("picture"), picture, byId("overlay").checked ? result.map : undefined, scale);
    const at = (i) => `frame ${i} (${(i / rate).toFixed(2)} s): ${scores[i].toPrecision(4)}`;
    const highest = scores.reduce((best, score, i) => (score > scores[best] ? i : best), 0);
    byId("readout").textContent = `${at(selected)}; highest so far ${at(highest)}`.replace(
      run.running ? "" : " so far",
      "",
    );
    slider.max = results.length - 1;
    slider.value = selected;
  });
}

function show(index, newPicture) {
  picture?.close();
  [selected, picture] = [index, newPicture];
  redraw();
}

let [wanted, looking] = [0, false];
/** Shows a frame of the finished run. */
async function lookAt(index) {
  if (!run || run.running || run.results.length === 0) return;
  wanted = Math.min(run.results.length - 1, Math.max(0, index));
  if (looking) return;
  looking = true;
  try {
    for (let at = -1; at !== wanted; ) {
      at = wanted;
      await seek(video, (at + 0.5) / run.rate);
      show(at, await createImageBitmap(video));
    }
  } catch (error) {
    say(explain(error));
  } finally {
    looking = false;
  }
}

/** Scores the chosen video from its start to its end. */
async function score(signal) {
  const status = (text) => {
    byId("status").textContent = text;
  };
  const [file] = byId("video-file").files;
  status("Opening the video …");
  await loadVideo(video, file);
  const given = Number(byId("fps").value);
  if (!given) status("Measuring the frame rate …");
  const rate = given || (await measureRate(video));
  if (!rate) throw new VideoError("The frame rate cannot be measured. Enter it under Settings.");
  signal.throwIfAborted();

  status("Opening the checkpoint …");
  const detector = await sdmae.Detector.open(await readCheckpoint(byId("checkpoint").files), readOptions());
  const pictures = new Map();
  try {
    const { videoWidth: width, videoHeight: height } = video;
    const count = frameCount(video, rate);
    run = { results: [], scale: new TokenScale(), rate, count, name: file.name, running: true };
    const { vendor, architecture, kind } = detector.gpu.adapter;
    const adapter = `${vendor} ${architecture}`.trim() || "this machine's GPU";
    const on = `${width}×${height} at ${rate} frames/s, on ${adapter}${kind === "gpu" ? "" : " (software: slow)"}`;
    status(`Compiling kernels; ${on}`);
    const keep = async (canvas, index) => {
      const options = width > pictureWidth ? { resizeWidth: pictureWidth, resizeQuality: "medium" } : {};
      pictures.set(index, await createImageBitmap(canvas, options));
    };
    const frames = sdmae.fromIterable(framesOf(video, rate, keep), { width, height, format: "rgba", name: file.name });
    let start = performance.now();
    for await (const result of detector.stream(frames, signal)) {
      const { index } = result;
      // Before the first score the kernels are compiled.
      if (index === 0) start = performance.now();
      run.results.push(result);
      run.scale.add(result.map.data);
      byId("results").hidden = false;
      show(index, pictures.get(index));
      pictures.delete(index);
      byId("progress").value = run.results.length / count;
      const speed = index > 0 ? `, ${((1000 * index) / (performance.now() - start)).toPrecision(3)} frames/s` : "";
      status(`${run.results.length} of ${count} frames${speed}; ${on}`);
    }
  } finally {
    for (const left of pictures.values()) left.close();
    detector.close();
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  const controls = [...form.querySelectorAll("input, button")];
  stopping = new AbortController();
  for (const control of controls) control.disabled = control.id !== "stop";
  slider.disabled = true;
  byId("progress-row").hidden = false;
  byId("progress").value = 0;
  [run, picture] = [undefined, undefined];
  byId("results").hidden = true;
  try {
    await score(stopping.signal);
  } catch (error) {
    if (stopping.signal.aborted) byId("status").textContent += "; stopped";
    else say(explain(error));
    if (!run) byId("progress-row").hidden = true;
  } finally {
    for (const control of controls) control.disabled = control.id === "stop";
    const nothing = !run?.results.length;
    byId("save").disabled = nothing;
    slider.disabled = nothing;
    if (run) run.running = false;
    redraw();
  }
});

byId("stop").addEventListener("click", () => stopping?.abort());

byId("save").addEventListener("click", () => {
  const rows = run.results.map(({ frame, time, studentError, targetError, score: value }) =>
    [frame, time, studentError, targetError, value].join(","),
  );
  const link = document.createElement("a");
  link.href = URL.createObjectURL(
    new Blob([`frame,time,student_error,target_error,score\n${rows.join("\n")}\n`], { type: "text/csv" }),
  );
  link.download = `${run.name.replace(/\.[^.]*$/, "")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});

slider.addEventListener("input", () => lookAt(Number(slider.value)));
for (const type of ["pointerdown", "pointermove"]) {
  curve.addEventListener(type, ({ clientX, buttons }) => {
    if (!buttons || !run) return;
    const { left, width } = curve.getBoundingClientRect();
    const share = (clientX - left - margin.left) / (width - margin.left - margin.right);
    lookAt(Math.round(share * run.count));
  });
}
byId("overlay").addEventListener("change", redraw);
window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

const problem = await obstacle();
say(problem);
byId("start").disabled = Boolean(problem);
