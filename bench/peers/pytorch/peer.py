"""Times SD-MAE in PyTorch, and prints one line of JSON:

    python3 peer.py '{"checkpoint": "model.pth", "height": 320, "width": 640, "batch": 32}'

Other settings, with their defaults:
- "heads" 4, "maskRatio" 0.5, "masking" "random" (or "gradient"), "norm" "L2" (or "L1"),
  "maskedOnly" false, "seed" 1
- "device" "auto": CUDA if there is one; or "cpu"
- "seconds" 5: for all variants together
- "limitSeconds" 1200: no variant starts after that
- "precisions": some of "f32", "tf32", "f16" (also for autocast); default: all
- "variants": names as below, or their first or second words; default: all

A step is the same as a step of bench/fps.js, from bytes to scores. B new frames, which are on the
device as uint8 [B, H, W, 3], are brought into the form that three samples each read. Masks are
drawn on the device, and only kept tokens are embedded. Then come teacher and student, the errors of
every token [B, L, 2] and the scores of every frame [B, 2]. Nothing is uploaded or read back. There
is no resize, because the frames have the network's size.

A variant is a mode and a precision. Modes: "eager"; "graph", the eager step replayed as a CUDA
graph; "compile", by torch.compile; "compile-graph", the compiled step as a CUDA graph. Precisions:
"f32", TF32 off; "tf32", float32 with TF32 in matmuls and convolutions; "f16", float16 weights and
activations; "autocast", float32 weights under torch.autocast to float16. Each variant is warmed up,
then measured in groups of steps of about 0.1 s, with a wait for the device before and after a
group. The modes eager and graph take the faster memory format.

If a variant fails, its error is reported and the next one runs.
"""

from __future__ import annotations

import gc
import json
import math
import os
import statistics
import sys
import time

# Threads that spin while they wait keep each other off the cores if something else runs too, which
# is many times slower. torch reads this when it loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor, nn

from sdmae import SdMae, load_weights

DEFAULTS = {
    "heads": 4,
    "maskRatio": 0.5,
    "masking": "random",
    "norm": "L2",
    "maskedOnly": False,
    "seconds": 5,
    "device": "auto",
    "precisions": None,
    "variants": None,
    "seed": 1,
    "limitSeconds": 1200,
}

#: In the order in which they are measured: those that take long to start come last.
CUDA_VARIANTS = [
    *[(mode, precision) for mode in ("eager", "graph") for precision in ("f32", "tf32", "f16", "autocast")],
    *[(mode, precision) for precision in ("f16", "tf32", "f32") for mode in ("compile", "compile-graph")],
]
CPU_VARIANTS = [("eager", "f32"), ("compile", "f32")]

#: The type that values are rounded to.
ROUNDED_TO = {"f32": "f32", "tf32": "tf32", "f16": "f16", "autocast": "f16"}

#: Frames t-3, t, t+3 of a sample are in slots b, b+3, b+6 of the ring; t-1 and t+1 in b+2 and b+4.
STRIDE = 3


class Step(nn.Module):
    """A step of a batch: takes nothing, returns errors [B, L, 2] and scores [B, 2]."""

    def __init__(self, model: SdMae, frames: Tensor, settings: dict, dtype: torch.dtype, form: str) -> None:
        super().__init__()
        self.model = model
        self.form = form
        self.norm, self.masked_only = settings["norm"], settings["maskedOnly"]
        self.by_motion = settings["masking"] == "gradient"
        self.batch = settings["batch"]
        first = torch.arange(self.batch, device=frames.device)[:, None]
        self.register_buffer("slots", first + torch.tensor([0, STRIDE, 2 * STRIDE], device=frames.device))
        self.register_buffer("neighbours", first + torch.tensor([STRIDE - 1, STRIDE + 1], device=frames.device))
        self.register_buffer("frames", frames[: self.batch])
        self.register_buffer("ring", model.ring(frames.shape[0], dtype))
        model.take_frames(self.ring, frames)

    def forward(self) -> tuple[Tensor, Tensor]:
        model, ring, slots = self.model, self.ring, self.slots
        model.take_frames(ring, self.frames)
        masks = model.motion_masks(ring, self.neighbours) if self.by_motion else model.random_masks(self.batch)
        latent = model.encode(ring, slots, masks, self.form)
        teacher, student = model.decode(latent, masks, self.form)
        errors = model.errors(ring, slots, teacher, student, self.norm)
        return errors, model.scores(errors, masks, self.masked_only)


def main(settings: dict) -> dict:
    unknown = set(settings) - {*DEFAULTS, "checkpoint", "height", "width", "batch"}
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    settings = {**DEFAULTS, **settings}
    cuda = torch.cuda.is_available() and settings["device"] != "cpu"
    device = torch.device("cuda" if cuda else "cpu")
    torch.manual_seed(settings["seed"])
    torch.backends.cudnn.benchmark = True
    weights = load_weights(settings["checkpoint"])
    height, width, batch = settings["height"], settings["width"], settings["batch"]
    frames = torch.randint(0, 256, (batch + 2 * STRIDE, height, width, 3), dtype=torch.uint8).to(device)
    variants = [v for v in (CUDA_VARIANTS if cuda else CPU_VARIANTS) if wanted(v, settings)]
    if not variants:
        asked = ", ".join([*(settings["precisions"] or []), *(settings["variants"] or [])])
        raise ValueError(f"{asked}: there is no such variant on {device.type}")
    started = time.perf_counter()
    everything = []
    # A compiled step serves two modes.
    compiled: dict[str, object] = {}
    for mode, precision in variants:
        result = {"variant": f"{mode} {precision}", "precision": ROUNDED_TO[precision]}
        everything.append(result)
        if time.perf_counter() - started > settings["limitSeconds"]:
            result["error"] = f"left out: {settings['limitSeconds']} s have passed"
            continue
        print(f"{mode} {precision}", file=sys.stderr, flush=True)
        try:
            model = SdMae(weights, settings["heads"], height, width, settings["maskRatio"]).to(device)
            seconds = settings["seconds"] / len(variants)
            result.update(measure_variant(mode, precision, model, frames, settings, seconds, compiled))
        except Exception as error:  # the other variants still run
            result["error"] = one_line(error)
    done = [result for result in everything if "fps" in result]
    if not done:
        raise RuntimeError(everything[0]["error"])
    best = max(done, key=lambda result: result["fps"]["median"])
    gpu = f", CUDA {torch.version.cuda or torch.version.hip}, {torch.cuda.get_device_name()}" if cuda else ""
    where = gpu or f", CPU, {torch.get_num_threads()} threads"
    version = f"torch {torch.__version__}{where}"
    return {"name": "pytorch", "version": version, "device": device.type, **best, "all": everything}


def measure_variant(
    mode: str, precision: str, model: SdMae, frames: Tensor, settings: dict, seconds: float, compiled: dict
) -> dict:
    """A variant's frames/s, ms per batch, peak GPU memory in bytes, scores of the last batch."""
    cuda = frames.is_cuda
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    dtype = torch.float16 if precision == "f16" else torch.float32
    model = model.to(dtype)
    by_autocast = torch.autocast("cuda", dtype=torch.float16, enabled=precision == "autocast")
    # Not every version can compile code that changes its inputs in inference mode.
    without_gradients = torch.no_grad() if mode.startswith("compile") else torch.inference_mode()
    with without_gradients, by_autocast:
        form = "taps" if mode.startswith("compile") else faster_form(mode, model, frames, settings, dtype)
        forget_peak(cuda)
        if mode.startswith("compile"):
            step = compiled.get(precision)
            if step is None:
                # Another precision is another program, so the last one can be dropped.
                compiled.clear()
                torch._dynamo.reset()
                step = torch.compile(Step(model, frames, settings, dtype, form), dynamic=False, fullgraph=True)
                compiled[precision] = step
        else:
            step = Step(model, frames, settings, dtype, form)
        run = captured(step) if mode.endswith("graph") else step
        warm_up(run, cuda)
        steps = max(1, min(1000, round(0.1 / timed(run, 1, cuda))))
        times, end = [], time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            times.append(timed(run, steps, cuda) / steps)
        # One batch alone, from submission to result.
        single = statistics.median(timed(run, 1, cuda) for _ in range(min(20, max(3, steps))))
        scores = run()[1].float().flatten().tolist()
    times.sort()
    batch = settings["batch"]
    middle, count = times[len(times) // 2], len(times)
    return {
        "form": form,
        "fps": {"median": batch / middle, "min": batch / times[-1], "max": batch / times[0], "measurements": count},
        "msPerBatch": {"median": 1000 * middle, "min": 1000 * times[0], "max": 1000 * times[-1]},
        "latencyMs": 1000 * single,
        **({"memoryBytes": torch.cuda.max_memory_allocated()} if cuda else {}),
        "scores": [score if math.isfinite(score) else None for score in scores],
    }


def faster_form(mode: str, model: SdMae, frames: Tensor, settings: dict, dtype: torch.dtype) -> str:
    """The faster memory format of an eager step, or of one as a graph."""
    times = {}
    for form in ("channels-first", "channels-last"):
        step = Step(model, frames, settings, dtype, form)
        run = captured(step) if mode == "graph" else step
        warm_up(run, frames.is_cuda)
        times[form] = statistics.median(timed(run, 1, frames.is_cuda) for _ in range(5))
    return min(times, key=times.get)


def forget_peak(cuda: bool) -> None:
    """Frees unused memory, and resets the peak."""
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def captured(step):
    """A step as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()

    def replay():
        graph.replay()
        return outputs

    return replay


def warm_up(run, cuda: bool) -> None:
    """Runs at least two steps, on a GPU until its clocks have risen."""
    timed(run, 1, cuda)  # compiles
    end = time.perf_counter() + (0.3 if cuda else 0)
    timed(run, 1, cuda)
    while time.perf_counter() < end:
        timed(run, 3, cuda)


def timed(run, steps: int, cuda: bool) -> float:
    """Seconds of some steps, with a wait for the device before and after them."""
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        run()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def wanted(variant: tuple[str, str], settings: dict) -> bool:
    mode, precision = variant
    precisions, names = settings["precisions"], settings["variants"]
    if precisions and ROUNDED_TO[precision] not in precisions:
        return False
    return not names or any(name in (mode, precision, f"{mode} {precision}") for name in names)


def one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))))
