// patch_embed.wgsl (the ladder is there) on a GPU's matrix units, in float16 with float32 sums.
//
// Planned like linear_matrix.wgsl: a workgroup makes TILE_M tokens, which may be of several
// samples, by TILE_N columns. 16 pixels at a time, it copies both operands into workgroup memory
// while the next step is on its way to registers. Its subgroups lie side by side: they share
// tokens, not columns.
//
// A pixel's value (v - 127.5) / 127.5 is (2v - 255) / 255. The matrices hold the integers 2v - 255,
// which float16 represents exactly; the sums are divided by 255.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#if SIZED
enable subgroup_size_control;
//#endif
const PATCH: u32 = 16u;  // a multiple of 4
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const M: u32 = 6400u;  // kept tokens of all samples
const WIDTH: u32 = 256u;  // a multiple of TILE_N
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const TILES_M: u32 = 4u;
const TILES_N: u32 = 2u;
const SUBGROUPS: u32 = 4u;
const LANES: u32 = 32u;  // the subgroup's size
const WORKGROUP: u32 = 128u;  // SUBGROUPS * LANES
const TILE_M: u32 = 64u;  // TILES_M * SIDE_M
const TILE_N: u32 = 128u;  // SUBGROUPS * TILES_N * SIDE_N
const X_LOADS: u32 = 1u;  // 2 * TILE_M / WORKGROUP: a whole number
const W_LOADS: u32 = 6u;  // STEP * TILE_N / 8 / WORKGROUP: a whole number
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

//#include "common/sample.wgsl"

@group(0) @binding(0) var<storage, read> frames: array<vec4<u32>>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> idsKeep: array<u32>;  // [samples, KEEP]
// Eight float16 values in a vec4.
// [3 frames, P, P, 3 channels, WIDTH]
@group(0) @binding(3) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;  // [WIDTH]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<u32>>;  // [samples, KEEP, WIDTH]

const STEP_PIXELS: u32 = 16u;  // every patch has a multiple of them
const STEP: u32 = 3u * STEP_PIXELS;
const AREA: u32 = PATCH * PATCH;
const IMAGE4: u32 = GRID_WIDTH * PATCH / 4u;  // vec4s in a row of a frame
// 16 bytes more than a row has, so that 8 rows lie in different banks
const X_STRIDE: u32 = STEP / 8u + 1u;
const TILE_N8: u32 = TILE_N / 8u;
const W_STRIDE: u32 = TILE_N8 + 1u;
const W_AT: u32 = TILE_M * X_STRIDE;
// weight rows between two loads of an invocation: 2, 4 or 8
const ROWS_BY: u32 = WORKGROUP / TILE_N8;
const SUMS: u32 = TILES_N * SIDE_N;  // columns of a subgroup
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
// where a token begins in each of its three frames
var<workgroup> origins: array<u32, 3u * TILE_M>;
// from there to each group of eight pixels, as two fours
var<workgroup> offsets: array<vec2<u32>, AREA / 8u>;
// The pixels' tile, then the weight's; afterwards every subgroup's sums, as float32.
var<workgroup> tile: array<vec4<u32>, max(W_AT + STEP * W_STRIDE, SUBGROUPS * SIDE_M * SUMS4)>;

struct Step {
  x: array<array<vec4<u32>, 2>, X_LOADS>,
  w: array<vec4<u32>, W_LOADS>,
}

// Loads an invocation's part of a step: eight pixels of each of its tokens, and every ROWS_BY-th
// row of the weight. The tile has the 24 values of eight pixels in another order than the weight: B
// and R of one pixel after another, then G of all. So w_blue_red is where the invocation's first
// row of B or R lies in the weight, w_green its first row of G; from there on, distances are
// constants.
fn load(first: u32, x_from: u32, half: u32, w_blue_red: u32, w_green: u32) -> Step {
  var step: Step;
  let frame = first / AREA;
  let offset = offsets[(first - frame * AREA) / 8u + half];
  //#unroll i X_LOADS
  {
    const i = 0u;
    let at = origins[x_from + i * (WORKGROUP / 2u * 3u) + frame] + offset;
    step.x[i][0] = frames[at.x];
    step.x[i][1] = frames[at.y];
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    const row = i * ROWS_BY % 24u;
    const eight = i * ROWS_BY - row;
    const blue_red = eight + row * 3u / 2u;
    const green = eight + 3u * (max(row, 16u) - 16u);
    step.w[i] = weight[first * (3u * WIDTH / 8u) + select(w_green + green * (WIDTH / 8u), w_blue_red + blue_red * (WIDTH / 8u), row < 16u)];
  }
  //#end
  return step;
}

//#include "common/halves.wgsl"
//#include "common/pixel_integers.wgsl"

fn store(step: Step, x_to: u32, w_to: u32) {
  //#unroll i X_LOADS
  {
    const i = 0u;
    let to = x_to + i * (WORKGROUP / 2u) * X_STRIDE;
    let a = step.x[i][0];
    let b = step.x[i][1];
    let low = vec4<u32>(a.xz, b.xz) >> vec4<u32>(7u);
    let high = vec4<u32>(a.yw, b.yw) << vec4<u32>(9u);
    tile[to] = pixel_integers(a << vec4<u32>(1u));  // B and R of four pixels
    tile[to + 1u] = pixel_integers(b << vec4<u32>(1u));
    // G of all eight
    tile[to + 2u] = pixel_integers((low & vec4<u32>(0xffffu)) | (high & vec4<u32>(0xffff0000u)));
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    tile[w_to + i * ROWS_BY * W_STRIDE] = step.w[i];
  }
  //#end
}

@compute @workgroup_size(WORKGROUP)
//#if SIZED
@subgroup_size(LANES)
//#endif
fn patchEmbed(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  const W8 = WIDTH / 8u;
  let row0 = group.y * TILE_M;
  let column0 = group.x * TILE_N8;
  let own_column = subgroup * (SUMS / 8u);
  for (var row = local; row < TILE_M; row += WORKGROUP) {
    let own = min(row0 + row, M - 1u);  // rows beyond the last are computed from it, and not stored
    let token = idsKeep[own];
    let sample = samples[own / KEEP];
    let origin = (token / GRID_WIDTH) * PATCH * IMAGE4 + (token % GRID_WIDTH) * (PATCH / 4u);
    origins[3u * row] = sample.previous * (TOKENS * AREA / 4u) + origin;
    origins[3u * row + 1u] = sample.current * (TOKENS * AREA / 4u) + origin;
    origins[3u * row + 2u] = sample.next * (TOKENS * AREA / 4u) + origin;
  }
  for (var i = local; i < AREA / 8u; i += WORKGROUP) {
    let fours = vec2<u32>(2u * i, 2u * i + 1u);
    offsets[i] = fours / (PATCH / 4u) * IMAGE4 + fours % (PATCH / 4u);
  }
  workgroupBarrier();
  // Two invocations take the 16 pixels of a row.
  let half = local & 1u;
  let x_from = local / 2u * 3u;
  let x_to = local / 2u * X_STRIDE + half * 3u;
  let w_row = local / TILE_N8;
  let w_column = column0 + local % TILE_N8;
  let w_blue_red = (w_row + w_row / 2u + (w_row & 1u)) * W8 + w_column;
  let w_green = (3u * w_row + 1u) * W8 + w_column;
  let w_to = W_AT + local + w_row;
  store(load(0u, x_from, half, w_blue_red, w_green), x_to, w_to);
  workgroupBarrier();
  var acc: array<Result, TILES_M * TILES_N>;
  var first = 0u;
  loop {
    // The last iteration loads the last step again, not beyond the end.
    let next = load(min(first + STEP_PIXELS, 3u * AREA - STEP_PIXELS), x_from, half, w_blue_red, w_green);
    for (var k = 0u; k < STEP; k += SIDE_K) {
      var a: array<Left, TILES_M>;
      //#unroll i TILES_M
      {
        const i = 0u;
        a[i] = subgroupMatrixLoad<Left, row_major>(&tile, i * SIDE_M * X_STRIDE + k / 8u, X_STRIDE);
      }
      //#end
      //#unroll j TILES_N
      {
        const j = 0u;
        let b = subgroupMatrixLoad<Right, row_major>(&tile, W_AT + k * W_STRIDE + own_column + j * SIDE_N / 8u, W_STRIDE);
        //#unroll i TILES_M
        {
          const i = 0u;
          acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a[i], b, acc[i * TILES_N + j]);
        }
        //#end
      }
      //#end
    }
    workgroupBarrier();  // the contents were used
    store(next, x_to, w_to);
    workgroupBarrier();
    continuing {
      first += STEP_PIXELS;
      break if first == 3u * AREA;
    }
  }
  let own = subgroup * SIDE_M * SUMS4;
  //#unroll i TILES_M
  {
    const i = 0u;
    if (i > 0u) { workgroupBarrier(); }  // the contents were used
    //#unroll j TILES_N
    {
      const j = 0u;
      subgroupMatrixStore<row_major>(&tile, own + j * SIDE_N / 4u, acc[i * TILES_N + j], SUMS4);
    }
    //#end
    workgroupBarrier();
    for (var v = lane; v < SIDE_M * (SUMS / 8u); v += LANES) {
      let row = row0 + i * SIDE_M + v / (SUMS / 8u);
      let column = column0 + own_column + v % (SUMS / 8u);
      let at = own + v / (SUMS / 8u) * SUMS4 + v % (SUMS / 8u) * 2u;
      let low = bitcast<vec4<f32>>(tile[at]) * (1.0 / 255.0) + bias[2u * column];
      let high = bitcast<vec4<f32>>(tile[at + 1u]) * (1.0 / 255.0) + bias[2u * column + 1u];
      if (row < M) {
        y[row * W8 + column] = pack_halves(low, high);
      }
    }
  }
  //#end
}
