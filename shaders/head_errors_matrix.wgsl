// head_errors.wgsl (the ladder is there) on a GPU's matrix units, in float16 with float32 sums.
//
// Planned like linear_matrix.wgsl: a workgroup makes TILE_M tokens, which may be of several
// samples, by TILE_N values of the teacher's prediction. K_STEP of the features at a time, it
// copies both operands into workgroup memory while the next step is on its way to registers. Its
// subgroups lie side by side: they share tokens, not columns.
//
// The sums are compared with the target. Then the student's products are subtracted from them; what
// remains is the difference of the two. Sums have no elements to access: they go through workgroup
// memory, a row of matrices at a time, where a lane takes pixels of one token. Each tile of columns
// has its own errors, which sum_errors.wgsl adds up.
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
const WIDTH: u32 = 128u;  // a multiple of K_STEP
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
const K_STEP: u32 = 32u;  // of the features at a time: a multiple of SIDE_K and 8
const X_LOADS: u32 = 2u;  // TILE_M * K_STEP / 8 / WORKGROUP: a whole number
const W_LOADS: u32 = 4u;  // K_STEP * TILE_N / 8 / WORKGROUP: a whole number
const FOURS: u32 = 1u;  // fours of pixels that a lane compares: SUMS / 16 / SHARERS, a whole number
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

//#include "common/sample.wgsl"

// Eight float16 values in a vec4.
// [samples, 1 + TOKENS, WIDTH] normalised
@group(0) @binding(0) var<storage, read> teacher: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;  // [HEADS, WIDTH, P*P, 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [HEADS, P*P, 4]
//#if STUDENT
@group(0) @binding(3) var<storage, read> student: array<vec4<u32>>;
//#endif
@group(0) @binding(6) var<storage, read> targets: array<vec4<u32>>;  // [slots, H, W]
@group(0) @binding(7) var<storage, read> samples: array<Sample>;
// [samples, TOKENS, PARTS] sums (student, target)
@group(0) @binding(8) var<storage, read_write> partial: array<vec2<f32>>;

const AREA: u32 = PATCH * PATCH;
const IMAGE4: u32 = GRID_WIDTH * PATCH / 4u;  // vec4s in a row of a target
const K_STEPS: u32 = WIDTH / K_STEP;  // steps per head
const STEP8: u32 = K_STEP / 8u;
const TILE_N8: u32 = TILE_N / 8u;
// 16 bytes more than a row has, so that 8 rows lie in different banks
const X_STRIDE: u32 = STEP8 + 1u;
const W_STRIDE: u32 = TILE_N8 + 1u;
const W_AT: u32 = TILE_M * X_STRIDE;
const X_ROWS_BY: u32 = WORKGROUP / STEP8;  // rows between two loads of an invocation
const W_ROWS_BY: u32 = WORKGROUP / TILE_N8;
const SUMS: u32 = TILES_N * SIDE_N;  // columns of a subgroup
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
const SHARERS: u32 = LANES / SIDE_M;  // lanes that share a row of sums
var<workgroup> origins: array<u32, TILE_M>;  // where a token begins in its target
var<workgroup> tile: array<vec4<u32>, W_AT + K_STEP * W_STRIDE>;  // features, then weights
var<workgroup> scratch: array<vec4<f32>, SUBGROUPS * SIDE_M * SUMS4>;  // every subgroup's sums
var<workgroup> errors: array<array<f32, SUBGROUPS * SHARERS * TILE_M>, HEADS>;

struct Step {
  x: array<vec4<u32>, X_LOADS>,
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
      loaded.x[i] = student[x_from[i] + (step - K_STEPS) * STEP8];
    } else
    //#endif
    { loaded.x[i] = teacher[x_from[i] + step * STEP8]; }
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    loaded.w[i] = weight[w_from + (step * K_STEP + i * W_ROWS_BY) * (AREA / 2u)];
  }
  //#end
  return loaded;
}

fn store(loaded: Step, sign: u32, x_to: u32, w_to: u32) {
  //#unroll i X_LOADS
  {
    const i = 0u;
    tile[x_to + i * X_ROWS_BY * X_STRIDE] = loaded.x[i] ^ vec4<u32>(sign);
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    tile[w_to + i * W_ROWS_BY * W_STRIDE] = loaded.w[i];
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
    let own = min(row0 + local / STEP8 + i * X_ROWS_BY, M - 1u);
    x_from[i] = (own + own / TOKENS + 1u) * (WIDTH / 8u) + local % STEP8;  // past the cls tokens
  }
  //#end
  let w_from = local / TILE_N8 * (AREA / 2u) + group.x * TILE_N8 + local % TILE_N8;
  let x_to = local + local / STEP8;
  let w_to = W_AT + local + local / TILE_N8;
  let own_column = subgroup * (SUMS / 8u);
  let own_acc = subgroup * SIDE_M * SUMS4;
  store(load(0u, x_from, w_from), 0u, x_to, w_to);
  workgroupBarrier();
  var acc: array<Result, TILES_M * TILES_N>;
  for (var head = 0u; head < HEADS + zero; head++) {
    var step = head * K_STEPS;
    let end = step + K_STEPS + zero;
    loop {
      // The last iteration loads the last step again, not beyond the end.
      let ahead = min(step + 1u, HEADS * K_STEPS - 1u);
      let next = load(ahead, x_from, w_from);
      for (var k = 0u; k < K_STEP; k += SIDE_K) {
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
      // the student is subtracted
      store(next, select(0u, 0x80008000u, ahead >= K_STEPS), x_to, w_to);
      workgroupBarrier();
      continuing {
        step++;
        break if step == end;
      }
    }
    // The pixels that the lane compares, and where their sums lie.
    let sharer = lane / SIDE_M;
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
            error = add_error(error, scratch[acc_at + 4u * q + p] + shift[4u * q + p] - target_pixel);
          }
          //#end
        } else {
          //#unroll p 4
          {
            const p = 0u;
            error = add_error(error, scratch[acc_at + 4u * q + p] + shift[4u * q + p]);
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
