// patch_embed_matrix.wgsl in float32: each weight is the sum of two float16 values, high + low
// (split_weight.wgsl). A pixel's 2v - 255 is an integer and needs no low part, so two products make
// one. The weights' tile holds 16 of the inner width, the pixels' tile three times as many. The
// ladder is in patch_embed.wgsl.
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
const W_SCALE: f32 = 1024.0;
const LANES: u32 = 32u;  // the subgroup's size
const WORKGROUP: u32 = 128u;  // SUBGROUPS * LANES
const TILE_M: u32 = 64u;  // TILES_M * SIDE_M
const TILE_N: u32 = 128u;  // SUBGROUPS * TILES_N * SIDE_N
const X_LOADS: u32 = 1u;  // 2 * TILE_M / WORKGROUP: a whole number
const W_LOADS: u32 = 4u;  // 4 * TILE_N / WORKGROUP: a whole number
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

//#include "common/sample.wgsl"

@group(0) @binding(0) var<storage, read> frames: array<vec4<u32>>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> idsKeep: array<u32>;  // [samples, KEEP]
// [3 * P * P * 3 / 16, WIDTH, 4] of the weight
@group(0) @binding(3) var<storage, read> parts: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;  // [WIDTH]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;  // [samples, KEEP, WIDTH]

const STEP_PIXELS: u32 = 16u;  // every patch has a multiple of them
const STEPS: u32 = 3u;  // of the weight per step of the pixels
const AREA: u32 = PATCH * PATCH;
const IMAGE4: u32 = GRID_WIDTH * PATCH / 4u;  // vec4s in a row of a frame
// 16 bytes more than a row has, so that 8 rows lie in different banks
const X_STRIDE: u32 = 2u * STEPS + 1u;
const W_STRIDE: u32 = 5u;  // a column's 16 weights, padded likewise
const W_AT: u32 = TILE_M * X_STRIDE;
const SUMS: u32 = TILES_N * SIDE_N;  // columns of a subgroup
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
// where a token begins in each of its three frames
var<workgroup> origins: array<u32, 3u * TILE_M>;
// from there to each group of eight pixels, as two fours
var<workgroup> offsets: array<vec2<u32>, AREA / 8u>;
// The pixels' tile, then the weight's; afterwards every subgroup's sums, as float32.
var<workgroup> tile: array<vec4<u32>, max(W_AT + TILE_N * W_STRIDE, SUBGROUPS * SIDE_M * SUMS4)>;

// Loads eight pixels of each of an invocation's rows.
fn load_pixels(first: u32, x_from: u32, half: u32) -> array<array<vec4<u32>, 2>, X_LOADS> {
  var x: array<array<vec4<u32>, 2>, X_LOADS>;
  let frame = first / AREA;
  let offset = offsets[(first - frame * AREA) / 8u + half];
  //#unroll i X_LOADS
  {
    const i = 0u;
    let at = origins[x_from + i * (WORKGROUP / 2u * 3u) + frame] + offset;
    x[i][0] = frames[at.x];
    x[i][1] = frames[at.y];
  }
  //#end
  return x;
}

fn load_weights(at: u32) -> array<vec4<u32>, W_LOADS> {
  var w: array<vec4<u32>, W_LOADS>;
  //#unroll i W_LOADS
  {
    const i = 0u;
    w[i] = parts[at + i * WORKGROUP];
  }
  //#end
  return w;
}

//#include "common/pixel_integers.wgsl"

fn store_pixels(x: array<array<vec4<u32>, 2>, X_LOADS>, x_to: u32) {
  //#unroll i X_LOADS
  {
    const i = 0u;
    let to = x_to + i * (WORKGROUP / 2u) * X_STRIDE;
    let a = x[i][0];
    let b = x[i][1];
    let low = vec4<u32>(a.xz, b.xz) >> vec4<u32>(7u);
    let high = vec4<u32>(a.yw, b.yw) << vec4<u32>(9u);
    tile[to] = pixel_integers(a << vec4<u32>(1u));  // B and R of four pixels
    tile[to + 1u] = pixel_integers(b << vec4<u32>(1u));
    // G of all eight
    tile[to + 2u] = pixel_integers((low & vec4<u32>(0xffffu)) | (high & vec4<u32>(0xffff0000u)));
  }
  //#end
}

fn store_weights(w: array<vec4<u32>, W_LOADS>, w_to: u32) {
  //#unroll i W_LOADS
  {
    const i = 0u;
    tile[w_to + i * (WORKGROUP / 4u) * W_STRIDE] = w[i];
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
  const W4 = WIDTH / 4u;
  const W_STEP = WIDTH * 4u;
  const W_END = 3u * AREA * 3u / 16u * W_STEP;
  let row0 = group.y * TILE_M;
  let column0 = group.x * TILE_N;
  let own_column = subgroup * SUMS;
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
  // Two invocations take the 16 pixels of a row, four take a column's 16 weights.
  let half = local & 1u;
  let x_from = local / 2u * 3u;
  let x_to = local / 2u * X_STRIDE + half * 3u;
  let w_from = column0 * 4u + local;
  let w_to = W_AT + local + local / 4u;
  store_pixels(load_pixels(0u, x_from, half), x_to);
  store_weights(load_weights(w_from), w_to);
  workgroupBarrier();
  var acc: array<Result, TILES_M * TILES_N>;
  var first = 0u;
  var w_at = 0u;
  loop {
    // The last iteration loads the last step again, not beyond the end.
    let next_x = load_pixels(min(first + STEP_PIXELS, 3u * AREA - STEP_PIXELS), x_from, half);
    for (var step = 0u; step < STEPS; step++) {
      w_at = min(w_at + W_STEP, W_END - W_STEP);
      let next_w = load_weights(w_from + w_at);
      for (var k = 0u; k < 16u; k += SIDE_K) {
        var high: array<Right, TILES_N>;
        var low: array<Right, TILES_N>;
        //#unroll j TILES_N
        {
          const j = 0u;
          let at = W_AT + (own_column + j * SIDE_N) * W_STRIDE + k / 8u;
          high[j] = subgroupMatrixLoad<Right, col_major>(&tile, at, W_STRIDE);
          low[j] = subgroupMatrixLoad<Right, col_major>(&tile, at + 2u, W_STRIDE);
        }
        //#end
        //#unroll i TILES_M
        {
          const i = 0u;
          let a = subgroupMatrixLoad<Left, row_major>(&tile, i * SIDE_M * X_STRIDE + 2u * step + k / 8u, X_STRIDE);
          //#unroll j TILES_N
          {
            const j = 0u;
            acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a, low[j], acc[i * TILES_N + j]);
            acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a, high[j], acc[i * TILES_N + j]);
          }
          //#end
        }
        //#end
      }
      workgroupBarrier();  // the contents were used
      store_weights(next_w, w_to);
      if (step == STEPS - 1u) { store_pixels(next_x, x_to); }
      workgroupBarrier();
    }
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
    for (var v = lane; v < SIDE_M * (SUMS / 4u); v += LANES) {
      let row = row0 + i * SIDE_M + v / (SUMS / 4u);
      let column = (column0 + own_column) / 4u + v % (SUMS / 4u);
      let sum = bitcast<vec4<f32>>(tile[own + v / (SUMS / 4u) * SUMS4 + v % (SUMS / 4u)]);
      if (row < M) { y[row * W4 + column] = sum * (1.0 / (255.0 * W_SCALE)) + bias[column]; }
    }
  }
  //#end
}
