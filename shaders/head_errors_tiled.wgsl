// head_errors.wgsl (the ladder is there) for GPUs, planned like linear_tiled.wgsl: a workgroup
// makes TILE_M tokens by TILE_PIXELS pixels (a vec4 of columns is one pixel: B, G, R, anomaly) of
// the teacher's prediction, compares them with the target, subtracts the student's prediction, and
// adds up over its pixels. Each tile of pixels has its own errors, which sum_errors.wgsl adds up.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const WIDTH: u32 = 128u;  // a multiple of K_STEP
const HEADS: u32 = 2u;  // teacher, and student
const ABSOLUTE: bool = false;
const PARTS: u32 = 16u;  // tiles of pixels
const ROWS: u32 = 4u;
const COLUMNS: u32 = 1u;
const LANES_M: u32 = 8u;
const LANES_N: u32 = 16u;
const TILE_M: u32 = 32u;  // LANES_M * ROWS
const TILE_PIXELS: u32 = 16u;  // LANES_N * COLUMNS
const K_STEP: u32 = 16u;
// vec4s per invocation and step: TILE_M * K_STEP / 4 / invocations, rounded up
const X_LOADS: u32 = 1u;
const W_LOADS: u32 = 2u;  // K_STEP * TILE_PIXELS / invocations, rounded up
alias Act = f32;  // what features and weights are stored as

//#include "common/sample.wgsl"

// [samples, 1 + TOKENS, WIDTH] normalised
@group(0) @binding(0) var<storage, read> teacher: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<Act>>;  // [HEADS, WIDTH, P*P, 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [HEADS, P*P, 4]
//#if STUDENT
@group(0) @binding(3) var<storage, read> student: array<vec4<Act>>;
//#endif
@group(0) @binding(6) var<storage, read> targets: array<u32>;  // [slots, H, W]
@group(0) @binding(7) var<storage, read> samples: array<Sample>;
// [samples, TOKENS, PARTS] sums (student, target)
@group(0) @binding(8) var<storage, read_write> partial: array<vec2<f32>>;

// one more than a row has, so that rows begin in different banks
const X_STRIDE: u32 = K_STEP / 4u + 1u;
var<workgroup> x_tile: array<vec4<Act>, TILE_M * X_STRIDE>;
var<workgroup> w_tile: array<vec4<Act>, K_STEP * TILE_PIXELS>;
var<workgroup> lane_errors: array<vec2<f32>, TILE_M * LANES_N>;

//#include "common/difference.wgsl"

fn feature(head: u32, at: u32) -> vec4<Act> {
  //#if STUDENT
  if (head == 1u) { return -student[at]; }
  //#endif
  return teacher[at];
}

@compute @workgroup_size(LANES_N, LANES_M)
fn headErrors(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) lane: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  const PIXELS = PATCH * PATCH;
  const W4 = WIDTH / 4u;
  const STEP4 = K_STEP / 4u;
  const INVOCATIONS = LANES_M * LANES_N;
  let row0 = group.y * TILE_M;
  let pixel0 = group.x * TILE_PIXELS;
  let image_width = GRID_WIDTH * PATCH;
  let image = samples[group.z].target_ * TOKENS * PIXELS;
  var acc: array<array<vec4<f32>, COLUMNS>, ROWS>;
  var error: array<vec2<f32>, ROWS>;
  for (var head = 0u; head < HEADS; head++) {
    for (var k0 = 0u; k0 < WIDTH; k0 += K_STEP) {
      workgroupBarrier();  // the contents were used
      //#unroll i X_LOADS
      {
        const i = 0u;
        let at = local + i * INVOCATIONS;
        let row = group.z * (1u + TOKENS) + 1u + min(row0 + at / STEP4, TOKENS - 1u);
        if (at < TILE_M * STEP4) { x_tile[(at / STEP4) * X_STRIDE + at % STEP4] = feature(head, row * W4 + k0 / 4u + at % STEP4); }
      }
      //#end
      //#unroll i W_LOADS
      {
        const i = 0u;
        let at = local + i * INVOCATIONS;
        let pixel = min(pixel0 + at % TILE_PIXELS, PIXELS - 1u);
        if (at < K_STEP * TILE_PIXELS) { w_tile[at] = weight[(head * WIDTH + k0 + at / TILE_PIXELS) * PIXELS + pixel]; }
      }
      //#end
      workgroupBarrier();
      for (var k = 0u; k < STEP4; k++) {
        var w: array<array<vec4<f32>, 4>, COLUMNS>;
        //#unroll c COLUMNS
        {
          const c = 0u;
          let at = k * 4u * TILE_PIXELS + lane.x + c * LANES_N;
          w[c][0] = vec4<f32>(w_tile[at]);
          w[c][1] = vec4<f32>(w_tile[at + TILE_PIXELS]);
          w[c][2] = vec4<f32>(w_tile[at + 2u * TILE_PIXELS]);
          w[c][3] = vec4<f32>(w_tile[at + 3u * TILE_PIXELS]);
        }
        //#end
        //#unroll r ROWS
        {
          const r = 0u;
          let a = vec4<f32>(x_tile[(lane.y + r * LANES_M) * X_STRIDE + k]);
          //#unroll c COLUMNS
          {
            const c = 0u;
            acc[r][c] = fma(vec4<f32>(a.x), w[c][0], acc[r][c]);
            acc[r][c] = fma(vec4<f32>(a.y), w[c][1], acc[r][c]);
            acc[r][c] = fma(vec4<f32>(a.z), w[c][2], acc[r][c]);
            acc[r][c] = fma(vec4<f32>(a.w), w[c][3], acc[r][c]);
          }
          //#end
        }
        //#end
      }
    }
    //#unroll c COLUMNS
    {
      const c = 0u;
      let pixel = pixel0 + lane.x + c * LANES_N;
      if (pixel < PIXELS) {
        let offset = image + (pixel / PATCH) * image_width + pixel % PATCH;
        let shift = select(bias[pixel], bias[(HEADS - 1u) * PIXELS + pixel] - bias[pixel], head == 1u);
        //#unroll r ROWS
        {
          const r = 0u;
          if (head == 0u) {
            let token = min(row0 + lane.y + r * LANES_M, TOKENS - 1u);
            let origin = (token / GRID_WIDTH) * PATCH * image_width + (token % GRID_WIDTH) * PATCH;
            let target_pixel = unpack4x8unorm(targets[offset + origin]) * 2.0 - 1.0;
            error[r].y += difference(target_pixel, acc[r][c] + shift);
          } else {
            error[r].x += difference(acc[r][c], shift);
          }
        }
        //#end
      }
    }
    //#end
  }
  //#unroll r ROWS
  {
    const r = 0u;
    lane_errors[(lane.y + r * LANES_M) * LANES_N + lane.x] = error[r];
  }
  //#end
  workgroupBarrier();
  for (var row = local; row < TILE_M; row += INVOCATIONS) {
    var sum = vec2<f32>(0.0);
    for (var i = 0u; i < LANES_N; i++) { sum += lane_errors[row * LANES_N + i]; }
    if (row0 + row < TOKENS) { partial[(group.z * TOKENS + row0 + row) * PARTS + group.x] = sum; }
  }
}
