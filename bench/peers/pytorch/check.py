"""Compares the PyTorch peer with a fixture:

    python3 check.py MODEL.pth CASE.safetensors [--device cpu] [--precision f32] [--tolerance 1e-4]

tools/export-checkpoint.js writes MODEL.pth. Frames are processed as in the benchmark; the masks are
the file's. The encoder's output (if the file has it), predictions and scores are compared by
||a - b|| / ||b||, for each way to compute the depthwise convolutions. Exits with 1 if one exceeds
the tolerance. Needs the packages torch and safetensors.
"""

from __future__ import annotations

import argparse
import sys

import torch
from safetensors import safe_open

from sdmae import FORMS, SdMae, load_weights

TOLERANCES = {"f32": 1e-4, "tf32": 1e-2, "f16": 1e-2}


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares the PyTorch peer with a fixture.")
    parser.add_argument("model")
    parser.add_argument("case")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=sorted(TOLERANCES), default="f32")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--tolerance", type=float, help="default: 1e-4 for f32, else 1e-2")
    options = parser.parse_args()
    tolerance = TOLERANCES[options.precision] if options.tolerance is None else options.tolerance
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision == "tf32"
    dtype = torch.float16 if options.precision == "f16" else torch.float32

    with safe_open(options.case, "pt") as file:
        about = file.metadata()
        case = {name: file.get_tensor(name) for name in file.keys() if name.startswith(("in.", "out."))}
    size = int(about["height"]), int(about["width"])
    model = SdMae(load_weights(options.model), options.heads, *size, float(about["mask_ratio"]))
    model = model.to(options.device, dtype)
    if model.patch != int(about["patch"]):
        raise SystemExit(f"{options.case} is of patch {about['patch']}; {options.model} has patch {model.patch}")

    frames = case["in.frames_u8"].flatten(0, 1).permute(0, 2, 3, 1).contiguous().to(options.device)
    slots = torch.arange(frames.shape[0], device=options.device).view(-1, 3)
    ids_keep = case["in.ids_restore"].long().argsort(1)[:, : model.keep].to(options.device)

    def outputs(form: str) -> dict:
        ring = model.ring(frames.shape[0], dtype)
        model.take_frames(ring, frames)
        latent = model.encode(ring, slots, ids_keep, form)
        teacher, student = model.decode(latent, ids_keep, form)
        errors = model.errors(ring, slots, teacher, student, about["score"])
        scores = model.scores(errors, ids_keep, masked_only=False)
        by_teacher, by_student = model.predictions(teacher, student)
        results = {"latent": latent, "teacher": by_teacher, "student": by_student}
        return {**results, "score_student_teacher": scores[:, 0], "score_teacher": scores[:, 1]}

    failed = 0
    run = torch.compile(outputs, dynamic=False, fullgraph=True) if options.compile else outputs
    for form in FORMS:
        with torch.no_grad():
            results = run(form)
        for name, got in results.items():
            want = case.get(f"out.{name}")
            if want is None:
                continue
            error = ((got.cpu().double() - want.double()).norm() / want.double().norm()).item()
            fine = error <= tolerance
            failed += not fine
            print(f"{'ok    ' if fine else 'FAILED'}  {form:14}  {name:21}  {want.numel():8} values  {error:.2e}")
    print(f"{options.case}: {'all' if failed == 0 else f'{failed} NOT'} within {tolerance:g} ({options.precision})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
