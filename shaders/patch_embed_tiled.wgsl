// patch_embed.wgsl (the ladder is there) for GPUs, planned like linear_tiled.wgsl: a workgroup
// makes TILE_M kept tokens by TILE_N4 vec4s of columns. An inner step is STEP_PIXELS pixels of one
// frame: their three channels lie in workgroup memory, normalised, four pixels in three vec4s.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const WIDTH: u32 = 256u;
const ROWS: u32 = 4u;
const COLUMNS: u32 = 2u;
const LANES_M: u32 = 16u;
const LANES_N: u32 = 16u;
const TILE_M: u32 = 64u;  // LANES_M * ROWS
const TILE_N4: u32 = 32u;  // LANES_N * COLUMNS
const STEP_PIXELS: u32 = 8u;  // a multiple of 4 that divides PATCH * PATCH
alias Act = f32;  // what weights and activations are stored as

//#include "common/sample.wgsl"

@group(0) @binding(0) var<storage, read> frames: array<u32>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> idsKeep: array<u32>;  // [samples, KEEP]
// [3 frames, P, P, 3 channels, WIDTH]
@group(0) @binding(3) var<storage, read> weight: array<vec4<Act>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;  // [WIDTH]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Act>>;  // [samples, KEEP, WIDTH]

const STEP4: u32 = STEP_PIXELS * 3u / 4u;
const X_STRIDE: u32 = STEP4 + 1u;  // one more than a row has, so that rows begin in different banks
var<workgroup> origins: array<u32, TILE_M>;
var<workgroup> x_tile: array<vec4<f32>, TILE_M * X_STRIDE>;
var<workgroup> w_tile: array<vec4<Act>, STEP_PIXELS * 3u * TILE_N4>;

fn pixel_at(at: u32) -> vec3<f32> {
  return unpack4x8unorm(frames[at]).xyz * 2.0 - 1.0;
}

@compute @workgroup_size(LANES_N, LANES_M)
fn patchEmbed(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) lane: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  const W4 = WIDTH / 4u;
  const AREA = PATCH * PATCH;
  const INVOCATIONS = LANES_M * LANES_N;
  let image_width = GRID_WIDTH * PATCH;
  let row0 = group.y * TILE_M;
  let column0 = group.x * TILE_N4;
  for (var row = local; row < TILE_M; row += INVOCATIONS) {
    let token = idsKeep[group.z * KEEP + min(row0 + row, KEEP - 1u)];
    origins[row] = (token / GRID_WIDTH) * PATCH * image_width + (token % GRID_WIDTH) * PATCH;
  }
  var acc: array<array<vec4<f32>, COLUMNS>, ROWS>;
  for (var first = 0u; first < 3u * AREA; first += STEP_PIXELS) {
    workgroupBarrier();  // the contents were used
    let t = first / AREA;
    let slot = select(select(samples[group.z].next, samples[group.z].current, t == 1u), samples[group.z].previous, t == 0u);
    for (var i = local; i < TILE_M * (STEP_PIXELS / 4u); i += INVOCATIONS) {
      let row = i / (STEP_PIXELS / 4u);
      let four = i % (STEP_PIXELS / 4u);
      let pixel = first % AREA + four * 4u;
      let at = slot * TOKENS * AREA + origins[row] + (pixel / PATCH) * image_width + pixel % PATCH;
      let a = pixel_at(at);
      let b = pixel_at(at + 1u);
      let c = pixel_at(at + 2u);
      let d = pixel_at(at + 3u);
      let to = row * X_STRIDE + four * 3u;
      x_tile[to] = vec4<f32>(a, b.x);
      x_tile[to + 1u] = vec4<f32>(b.yz, c.xy);
      x_tile[to + 2u] = vec4<f32>(c.z, d);
    }
    for (var i = local; i < STEP_PIXELS * 3u * TILE_N4; i += INVOCATIONS) {
      w_tile[i] = weight[(first * 3u + i / TILE_N4) * W4 + min(column0 + i % TILE_N4, W4 - 1u)];
    }
    workgroupBarrier();
    for (var k = 0u; k < STEP4; k++) {
      var w: array<array<vec4<f32>, 4>, COLUMNS>;
      //#unroll c COLUMNS
      {
        const c = 0u;
        let at = k * 4u * TILE_N4 + lane.x + c * LANES_N;
        w[c][0] = vec4<f32>(w_tile[at]);
        w[c][1] = vec4<f32>(w_tile[at + TILE_N4]);
        w[c][2] = vec4<f32>(w_tile[at + 2u * TILE_N4]);
        w[c][3] = vec4<f32>(w_tile[at + 3u * TILE_N4]);
      }
      //#end
      //#unroll r ROWS
      {
        const r = 0u;
        let a = x_tile[(lane.y + r * LANES_M) * X_STRIDE + k];
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
  //#unroll r ROWS
  {
    const r = 0u;
    let row = row0 + lane.y + r * LANES_M;
    //#unroll c COLUMNS
    {
      const c = 0u;
      let column = column0 + lane.x + c * LANES_N;
      if (row < KEEP && column < W4) { y[(group.z * KEEP + row) * W4 + column] = vec4<Act>(acc[r][c] + bias[column]); }
    }
    //#end
  }
  //#end
}
