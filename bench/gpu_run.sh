#!/usr/bin/env bash
# Measures everything that needs a GPU, in one run of at most ten minutes:
#
#   bash bench/gpu_run.sh [OUT]   writes files into OUT (default: gpu-results), and OUT/summary.txt
#
# Steps: adapters; a fixture in float32 and float16 with every kind of kernel; tuning; frames/s at
# batch 1, 16 and 64 in float32 and float16, with the profile; PyTorch, if SDMAE_PYTHON (default:
# python3) has it. A run that was stopped continues: OUT/done lists the finished steps. If a step
# fails, it is reported and the next one runs. Exit codes: 0 if all steps succeeded, 1 if one failed
# or the time ran out, 2 if the run cannot start.
#
#   LIMIT_S        seconds of the whole run (default: 570)
#   FIXTURES       folder of the fixtures (default: test/fixtures); the full-size one is used if it
#                  is there, else a tiny one
#   SDMAE_ADAPTER  the adapter (default: gpu)
set -uo pipefail

case ${1:-} in
  -h | --help)
    sed -n '2,15p' "$0" | sed 's/^# \{0,1\}//'
    exit 0
    ;;
  -*)
    echo "gpu_run: unknown option $1 (see --help)" >&2
    exit 2
    ;;
esac

cd "$(dirname "$0")/.." || exit 2
out=${1:-gpu-results}
limit=${LIMIT_S:-570}
fixtures=${FIXTURES:-test/fixtures}
export SDMAE_ADAPTER=${SDMAE_ADAPTER:-gpu}
[ -f dist/bench.js ] || { echo "gpu_run: dist/ is missing: run npm run build" >&2; exit 2; }
[[ $limit =~ ^[0-9]+$ ]] || { echo "gpu_run: LIMIT_S is \"$limit\", not a number of seconds" >&2; exit 2; }
mkdir -p "$out/done" || exit 2

failed=0

left() { echo $((limit - SECONDS)); }

# step NAME SECONDS COMMAND...: runs COMMAND for at most SECONDS; its output goes to OUT/NAME.txt.
step() {
  local name=$1 most=$2 code began=$SECONDS
  shift 2
  if [ -e "$out/done/$name" ]; then
    echo "== $name: done before"
    return
  fi
  if [ "$(left)" -lt 5 ]; then
    echo "== $name: no time left"
    failed=1
    return
  fi
  [ "$most" -le "$(left)" ] || most=$(left)
  timeout --kill-after=5 "$most" "$@" >"$out/$name.txt" 2>&1
  code=$?
  if [ "$code" -eq 0 ]; then
    touch "$out/done/$name"
    echo "== $name: $((SECONDS - began)) s"
  else
    failed=1
    case $code in
      124 | 137) echo "== $name: stopped after $most s" ;;
      *) echo "== $name: failed with exit code $code: $(tail -n 1 "$out/$name.txt")" ;;
    esac
  fi
}

checkpoint=$fixtures/full-patch16.pth
case_file=$fixtures/full-infer-320x640.safetensors
if [ ! -f "$case_file" ] || [ ! -f "$checkpoint" ]; then
  checkpoint=$fixtures/tiny-checkpoint-best.pth\ $fixtures/tiny-checkpoint-best-student.pth
  case_file=$fixtures/tiny-infer-random.safetensors
fi

step adapters 60 node tools/sdmae.js adapters
for dtype in f32 f16; do
  for kind in plain tiled $([ $dtype = f32 ] && echo split || echo matrix); do
    # shellcheck disable=SC2086 # $checkpoint may be two files
    step "parity-$dtype-$kind" 60 env SDMAE_KERNELS="$kind" \
      node tools/check-fixture.js $checkpoint "$case_file" --dtype "$dtype"
  done
done
for dtype in f16 f32; do
  step "tune-$dtype" 90 node tools/sdmae.js tune --size 320x640 --batch 16 --dtype "$dtype" --json "$out/tuning-$dtype.json"
done
for dtype in f16 f32; do
  for batch in 16 64 1; do
    step "fps-$dtype-$batch" 45 node bench/fps.js --size 320x640 --batch "$batch" --dtype "$dtype" --seconds 3 --profile \
      --json "$out/fps-$dtype-$batch.json"
  done
done
if "${SDMAE_PYTHON:-python3}" -c 'import torch' 2>/dev/null; then
  for dtype in f16 f32; do
    step "pytorch-$dtype" 150 node bench/fps.js --size 320x640 --batch 16 --dtype "$dtype" --seconds 3 --peer pytorch \
      --json "$out/pytorch-$dtype.json"
  done
else
  echo "== pytorch: skipped, ${SDMAE_PYTHON:-python3} has no torch"
fi

{
  cat "$out/adapters.txt"
  for file in "$out"/parity-*.txt; do echo "$(basename "$file" .txt): $(tail -n 1 "$file")"; done
  for file in "$out"/fps-*.txt "$out"/pytorch-*.txt; do
    [ ! -f "$file" ] || { echo "$(basename "$file" .txt)"; grep -E '^(model  |end to end|pytorch|ratio)' "$file" | sed 's/^/  /'; }
  done
} >"$out/summary.txt.part" 2>/dev/null
mv "$out/summary.txt.part" "$out/summary.txt"
cat "$out/summary.txt"
echo "$SECONDS s; all results are in $out/"
exit $failed
