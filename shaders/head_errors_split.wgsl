// head_errors_matrix.wgsl in float32: each value is the sum of two in float16, high + low, and
// three products make one (see linear_split.wgsl). Features are split on their way into workgroup
// memory; split_weight.wgsl has split the weights. The ladder is in head_errors.wgsl.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#if SIZED
enable subgroup_size_control;
//#endif
const PATCH: u32 = 16u;  // a multiple of 4
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const M: u32 = 12800u;  // tokens of all samples
const WIDTH: u32 = 128u;  // a multiple of 16
const HEADS: u32 = 2u;  // teacher, and student
const ABSOLUTE: bool = false;
const PARTS: u32 = 8u;  // tiles of columns: 4 * PATCH * PATCH / TILE_N
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const TILES_M: u32 = 4u;
const TILES_N: u32 = 2u;
const SUBGROUPS: u32 = 4u;
const LANES: u32 = 32u;  // the subgroup's size, a multiple of SIDE_M
const WORKGROUP: u32 = 128u;  // SUBGROUPS * LANES
const TILE_M: u32 = 64u;  // TILES_M * SIDE_M
const TILE_N: u32 = 128u;  // SUBGROUPS * TILES_N * SIDE_N
const X_SCALE: f32 = 16.0;
const W_SCALE: f32 = 1024.0;
const X_LOADS: u32 = 1u;  // of 8 values: 2 * TILE_M / WORKGROUP: a whole number
const W_LOADS: u32 = 4u;  // 4 * TILE_N / WORKGROUP: a whole number
const FOURS: u32 = 1u;  // fours of pixels that a lane compares: SUMS / 16 / SHARERS, a whole number
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

//#include "common/sample.wgsl"

// [samples, 1 + TOKENS, WIDTH] normalised
@group(0) @binding(0) var<storage, read> teacher: array<vec4<f32>>;
// [HEADS, WIDTH / 16, P*P*4, 4] of the weight
@group(0) @binding(1) var<storage, read> parts: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [HEADS, P*P, 4]
//#if STUDENT
@group(0) @binding(3) var<storage, read> student: array<vec4<f32>>;
//#endif
@group(0) @binding(6) var<storage, read> targets: array<vec4<u32>>;  // [slots, H, W]
@group(0) @binding(7) var<storage, read> samples: array<Sample>;
// [samples, TOKENS, PARTS] sums (student, target)
@group(0) @binding(8) var<storage, read_write> partial: array<vec2<f32>>;

const AREA: u32 = PATCH * PATCH;
const IMAGE4: u32 = GRID_WIDTH * PATCH / 4u;  // vec4s in a row of a target
const K_STEPS: u32 = WIDTH / 16u;  // steps per head
// a row's or a column's 16 values, and 16 bytes more, so that 8 lie in different banks
const STRIDE: u32 = 5u;
const W_AT: u32 = TILE_M * STRIDE;
const X_ROWS_BY: u32 = WORKGROUP / 2u;  // rows between two loads of an invocation
const SUMS: u32 = TILES_N * SIDE_N;  // columns of a subgroup
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
const SHARERS: u32 = LANES / SIDE_M;  // lanes that share a row of sums
var<workgroup> origins: array<u32, TILE_M>;  // where a token begins in its target
// features, then weights: high parts, low parts
var<workgroup> tile: array<vec4<u32>, W_AT + TILE_N * STRIDE>;
var<workgroup> scratch: array<vec4<f32>, SUBGROUPS * SIDE_M * SUMS4>;  // every subgroup's sums
var<workgroup> errors: array<array<f32, SUBGROUPS * SHARERS * TILE_M>, HEADS>;

struct Step {
  x: array<array<vec4<f32>, 2>, X_LOADS>,
  w: array<vec4<u32>, W_LOADS>,
}

// Loads an invocation's part of a step; the student's steps follow the teacher's.
fn load(step: u32, x_from: array<u32, X_LOADS>, w_from: u32) -> Step {
  var loaded: Step;
  //#unroll i X_LOADS
  {
    const i = 0u;
    //#if STUDENT
    if (step >= K_STEPS) {
      let at = x_from[i] + (step - K_STEPS) * 4u;
      loaded.x[i][0] = student[at];
      loaded.x[i][1] = student[at + 1u];
    } else
    //#endif
    {
      let at = x_from[i] + step * 4u;
      loaded.x[i][0] = teacher[at];
      loaded.x[i][1] = teacher[at + 1u];
    }
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    loaded.w[i] = parts[w_from + step * (16u * AREA) + i * WORKGROUP];
  }
  //#end
  return loaded;
}

//#include "common/high_part.wgsl"

//#include "common/halves.wgsl"

fn store(loaded: Step, scale: f32, x_to: u32, w_to: u32) {
  //#unroll i X_LOADS
  {
    const i = 0u;
    let to = x_to + i * X_ROWS_BY * STRIDE;
    let a = loaded.x[i][0] * scale;
    let b = loaded.x[i][1] * scale;
    let high_a = high_part(a);
    let high_b = high_part(b);
    tile[to] = pack_halves(high_a, high_b);
    tile[to + 2u] = pack_halves(a - high_a, b - high_b);
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    tile[w_to + i * (WORKGROUP / 4u) * STRIDE] = loaded.w[i];
  }
  //#end
}

//#include "common/add_error.wgsl"

@compute @workgroup_size(WORKGROUP)
//#if SIZED
@subgroup_size(LANES)
//#endif
fn headErrors(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  // Always 0, but compilers do not know it. They would unroll loops with a known count, with all
  let zero = group.z;
  let row0 = group.y * TILE_M;
  // Rows beyond the last are computed from it, and not stored.
  for (var row = local; row < TILE_M; row += WORKGROUP) {
    let own = min(row0 + row, M - 1u);
    let token = own % TOKENS;
    let origin = (token / GRID_WIDTH) * PATCH * IMAGE4 + (token % GRID_WIDTH) * (PATCH / 4u);
    origins[row] = samples[own / TOKENS].target_ * (TOKENS * AREA / 4u) + origin;
  }
  var x_from: array<u32, X_LOADS>;
  //#unroll i X_LOADS
  {
    const i = 0u;
    let own = min(row0 + local / 2u + i * X_ROWS_BY, M - 1u);
    x_from[i] = (own + own / TOKENS + 1u) * (WIDTH / 4u) + local % 2u * 2u;  // past the cls tokens
  }
  //#end
  let w_from = group.x * (4u * TILE_N) + local;
  let x_to = local / 2u * STRIDE + local % 2u;
  let w_to = W_AT + local + local / 4u;
  let own_column = subgroup * SUMS;
  let own_acc = subgroup * SIDE_M * SUMS4;
  let sharer = lane / SIDE_M;
  store(load(0u, x_from, w_from), X_SCALE, x_to, w_to);
  workgroupBarrier();
  var acc: array<Result, TILES_M * TILES_N>;
  for (var head = 0u; head < HEADS + zero; head++) {
    var step = head * K_STEPS;
    let end = step + K_STEPS + zero;
    loop {
      // The last iteration loads the last step again, not beyond the end.
      let ahead = min(step + 1u, HEADS * K_STEPS - 1u);
      let next = load(ahead, x_from, w_from);
      for (var k = 0u; k < 16u; k += SIDE_K) {
        var high: array<Right, TILES_N>;
        var low: array<Right, TILES_N>;
        //#unroll j TILES_N
        {
          const j = 0u;
          let at = W_AT + (own_column + j * SIDE_N) * STRIDE + k / 8u;
          high[j] = subgroupMatrixLoad<Right, col_major>(&tile, at, STRIDE);
          low[j] = subgroupMatrixLoad<Right, col_major>(&tile, at + 2u, STRIDE);
        }
        //#end
        //#unroll i TILES_M
        {
          const i = 0u;
          let at = i * SIDE_M * STRIDE + k / 8u;
          let x_low = subgroupMatrixLoad<Left, row_major>(&tile, at + 2u, STRIDE);
          let x_high = subgroupMatrixLoad<Left, row_major>(&tile, at, STRIDE);
          //#unroll j TILES_N
          {
            const j = 0u;
            acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(x_low, high[j], acc[i * TILES_N + j]);
            acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(x_high, low[j], acc[i * TILES_N + j]);
            acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(x_high, high[j], acc[i * TILES_N + j]);
          }
          //#end
        }
        //#end
      }
      workgroupBarrier();  // the contents were used
      // the student is subtracted
      store(next, select(X_SCALE, -X_SCALE, ahead >= K_STEPS), x_to, w_to);
      workgroupBarrier();
      continuing {
        step++;
        break if step == end;
      }
    }
    // The pixels that the lane compares, and where their sums lie.
    let pixel = group.x * (TILE_N / 4u) + subgroup * (SUMS / 4u) + sharer * (4u * FOURS);
    let acc_at = own_acc + lane % SIDE_M * SUMS4 + sharer * (4u * FOURS);
    // What the pixels' sums lack: the bias, less the student's, or less the target's -1.
    var shift: array<vec4<f32>, 4u * FOURS>;
    //#unroll q FOURS
    {
      const q = 0u;
      //#unroll p 4
      {
        const p = 0u;
        var subtracted = vec4<f32>(-1.0);
        //#if STUDENT
        subtracted = select(subtracted, bias[AREA + pixel + 4u * q + p], head == 1u);
        //#endif
        shift[4u * q + p] = bias[pixel + 4u * q + p] - subtracted;
      }
      //#end
    }
    //#end
    //#unroll i TILES_M
    {
      const i = 0u;
      //#unroll j TILES_N
      {
        const j = 0u;
        subgroupMatrixStore<row_major>(&scratch, own_acc + j * SIDE_N / 4u, acc[i * TILES_N + j], SUMS4);
      }
      //#end
      workgroupBarrier();
      let row = i * SIDE_M + lane % SIDE_M;
      var error = vec4<f32>(0.0);
      //#unroll q FOURS
      {
        const q = 0u;
        if (HEADS == 1u || head == 0u) {
          let four = pixel + 4u * q;
          let target_pixels = targets[origins[row] + four / PATCH * IMAGE4 + four % PATCH / 4u];
          //#unroll p 4
          {
            const p = 0u;
            let target_pixel = vec4<f32>(unpack4xU8(target_pixels[p])) * (2.0 / 255.0);
            error = add_error(error, scratch[acc_at + 4u * q + p] * (1.0 / (X_SCALE * W_SCALE)) + shift[4u * q + p] - target_pixel);
          }
          //#end
        } else {
          //#unroll p 4
          {
            const p = 0u;
            error = add_error(error, scratch[acc_at + 4u * q + p] * (1.0 / (X_SCALE * W_SCALE)) + shift[4u * q + p]);
          }
          //#end
        }
      }
      //#end
      errors[head][(subgroup * SHARERS + sharer) * TILE_M + row] = dot(error, vec4<f32>(1.0));
      workgroupBarrier();  // the contents were used
    }
    //#end
  }
  for (var row = local; row < TILE_M; row += WORKGROUP) {
    var sum = vec2<f32>(0.0);
    for (var i = 0u; i < SUBGROUPS * SHARERS; i++) {
      //#if STUDENT
      sum.x += errors[1][i * TILE_M + row];
      //#endif
      sum.y += errors[0][i * TILE_M + row];
    }
    if (row0 + row < M) { partial[(row0 + row) * PARTS + group.x] = sum; }
  }
}
