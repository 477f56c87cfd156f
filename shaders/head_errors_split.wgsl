// head_errors_matrix.wgsl in float32: each value is the sum of two float16 values, high + low, and three
// products make one (linear_split.wgsl says more). Features are split on their way into workgroup
// memory; split_weight.wgsl has split the weights.
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
const FOURS: u32 = 1u;  // four pixels that a lane compares: SUMS / 16 / SHARERS, a whole number
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

struct Sample { previous: u32, current: u32, next: u32, before: u32, after: u32, target_: u32, frame: u32, unused: u32 }

@group(0) @binding(0) var<storage, read> teacher: array<vec4<f32>>;  // [samples, 1 + TOKENS, WIDTH] normalised
@group(0) @binding(1) var<storage, read> parts: array<vec4<u32>>;  // [HEADS, WIDTH / 16, P*P*4, 4] of the weight
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [HEADS, P*P, 4]
//#if STUDENT
@group(0) @binding(3) var<storage, read> student: array<vec4<f32>>;
//#endif
@group(0) @binding(6) var<storage, read> targets: array<vec4<u32>>;  // [slots, H, W]
@group(0) @binding(7) var<storage, read> samples: array<Sample>;
@group(0) @binding(8) var<storage, read_write> partial: array<vec2<f32>>;  // [samples, TOKENS, PARTS] sums (student, target)

const AREA: u32 = PATCH * PATCH;
const IMAGE4: u32 = GRID_WIDTH * PATCH / 4u;  // vec4s in a row of a target
const K_STEPS: u32 = WIDTH / 16u;  // of a head
const STRIDE: u32 = 5u;  // a row's or a column's 16 values, and 16 bytes more, so that 8 lie in different banks
const W_AT: u32 = TILE_M * STRIDE;
const X_ROWS_BY: u32 = WORKGROUP / 2u;  // rows between two loads of an invocation
const SUMS: u32 = TILES_N * SIDE_N;  // columns of a subgroup
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
const SHARERS: u32 = LANES / SIDE_M;  // lanes that share a row of sums
var<workgroup> corners: array<u32, TILE_M>;  // where a token begins in its target
var<workgroup> tile: array<vec4<u32>, W_AT + TILE_N * STRIDE>;  // features, then weights: high parts, low parts
var<workgroup> scratch: array<vec4<f32>, SUBGROUPS * SIDE_M * SUMS4>;  // every subgroup's sums
var<workgroup> errors: array<array<f32, SUBGROUPS * SHARERS * TILE_M>, HEADS>;

struct Step {
  x: array<array<vec4<f32>, 2>, X_LOADS>,
  w: array<vec4<u32>, W_LOADS>,
}

// Loads an invocation's part of a step; the student's steps follow the teacher's.
fn load(step: u32, xFrom: array<u32, X_LOADS>, wFrom: u32) -> Step {
  var loaded: Step;
  //#unroll i X_LOADS
  {
    const i = 0u;
    //#if STUDENT
    if (step >= K_STEPS) {
      let at = xFrom[i] + (step - K_STEPS) * 4u;
      loaded.x[i][0] = student[at];
      loaded.x[i][1] = student[at + 1u];
    } else
    //#endif
    {
      let at = xFrom[i] + step * 4u;
      loaded.x[i][0] = teacher[at];
      loaded.x[i][1] = teacher[at + 1u];
    }
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    loaded.w[i] = parts[wFrom + step * (16u * AREA) + i * WORKGROUP];
  }
  //#end
  return loaded;
}

// A value's leading 11 bits, which float16 holds; by bits, since compilers take a conversion there
// and back for nothing.
fn highPart(value: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) & vec4<u32>(0xffffe000u));
}

fn packed(a: vec4<f32>, b: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(bitcast<vec2<u32>>(vec4<f16>(a)), bitcast<vec2<u32>>(vec4<f16>(b)));
}

fn store(loaded: Step, scale: f32, xTo: u32, wTo: u32) {
  //#unroll i X_LOADS
  {
    const i = 0u;
    let to = xTo + i * X_ROWS_BY * STRIDE;
    let a = loaded.x[i][0] * scale;
    let b = loaded.x[i][1] * scale;
    let highA = highPart(a);
    let highB = highPart(b);
    tile[to] = packed(highA, highB);
    tile[to + 2u] = packed(a - highA, b - highB);
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    tile[wTo + i * (WORKGROUP / 4u) * STRIDE] = loaded.w[i];
  }
  //#end
}

fn add(error: vec4<f32>, difference: vec4<f32>) -> vec4<f32> {
  if (ABSOLUTE) { return error + abs(difference); }
  return fma(difference, difference, error);
}

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
  // Always 0, which compilers do not know. They would unroll loops whose count they know, with all
  // that follows the sums, into more code than an instruction cache holds.
  let zero = group.z;
  let row0 = group.y * TILE_M;
  // Rows beyond the last are computed from it, and not stored.
  for (var row = local; row < TILE_M; row += WORKGROUP) {
    let own = min(row0 + row, M - 1u);
    let token = own % TOKENS;
    let corner = (token / GRID_WIDTH) * PATCH * IMAGE4 + (token % GRID_WIDTH) * (PATCH / 4u);
    corners[row] = samples[own / TOKENS].target_ * (TOKENS * AREA / 4u) + corner;
  }
  var xFrom: array<u32, X_LOADS>;
  //#unroll i X_LOADS
  {
    const i = 0u;
    let own = min(row0 + local / 2u + i * X_ROWS_BY, M - 1u);
    xFrom[i] = (own + own / TOKENS + 1u) * (WIDTH / 4u) + local % 2u * 2u;  // past the cls tokens
  }
  //#end
  let wFrom = group.x * (4u * TILE_N) + local;
  let xTo = local / 2u * STRIDE + local % 2u;
  let wTo = W_AT + local + local / 4u;
  let ownColumn = subgroup * SUMS;
  let ownSums = subgroup * SIDE_M * SUMS4;
  let sharer = lane / SIDE_M;
  store(load(0u, xFrom, wFrom), X_SCALE, xTo, wTo);
  workgroupBarrier();
  var sums: array<Result, TILES_M * TILES_N>;
  for (var head = 0u; head < HEADS + zero; head++) {
    var step = head * K_STEPS;
    let end = step + K_STEPS + zero;
    loop {
      // The last turn loads the last step once more, rather than beyond the end.
      let ahead = min(step + 1u, HEADS * K_STEPS - 1u);
      let next = load(ahead, xFrom, wFrom);
      for (var k = 0u; k < 16u; k += SIDE_K) {
        var high: array<Right, TILES_N>;
        var low: array<Right, TILES_N>;
        //#unroll j TILES_N
        {
          const j = 0u;
          let at = W_AT + (ownColumn + j * SIDE_N) * STRIDE + k / 8u;
          high[j] = subgroupMatrixLoad<Right, col_major>(&tile, at, STRIDE);
          low[j] = subgroupMatrixLoad<Right, col_major>(&tile, at + 2u, STRIDE);
        }
        //#end
        //#unroll i TILES_M
        {
          const i = 0u;
          let at = i * SIDE_M * STRIDE + k / 8u;
          let xLow = subgroupMatrixLoad<Left, row_major>(&tile, at + 2u, STRIDE);
          let xHigh = subgroupMatrixLoad<Left, row_major>(&tile, at, STRIDE);
          //#unroll j TILES_N
          {
            const j = 0u;
            sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(xLow, high[j], sums[i * TILES_N + j]);
            sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(xHigh, low[j], sums[i * TILES_N + j]);
            sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(xHigh, high[j], sums[i * TILES_N + j]);
          }
          //#end
        }
        //#end
      }
      workgroupBarrier();  // what lies there was used
      store(next, select(X_SCALE, -X_SCALE, ahead >= K_STEPS), xTo, wTo);  // the student is subtracted
      workgroupBarrier();
      continuing {
        step++;
        break if step == end;
      }
    }
    // The pixels that the lane compares, and where their sums lie.
    let pixel = group.x * (TILE_N / 4u) + subgroup * (SUMS / 4u) + sharer * (4u * FOURS);
    let sumsAt = ownSums + lane % SIDE_M * SUMS4 + sharer * (4u * FOURS);
    // What the pixels' sums lack: the bias, less the student's, or less the target's -1.
    var shift: array<vec4<f32>, 4u * FOURS>;
    //#unroll q FOURS
    {
      const q = 0u;
      //#unroll p 4
      {
        const p = 0u;
        var less = vec4<f32>(-1.0);
        //#if STUDENT
        less = select(less, bias[AREA + pixel + 4u * q + p], head == 1u);
        //#endif
        shift[4u * q + p] = bias[pixel + 4u * q + p] - less;
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
        subgroupMatrixStore<row_major>(&scratch, ownSums + j * SIDE_N / 4u, sums[i * TILES_N + j], SUMS4);
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
          let goals = targets[corners[row] + four / PATCH * IMAGE4 + four % PATCH / 4u];
          //#unroll p 4
          {
            const p = 0u;
            let goal = vec4<f32>(unpack4xU8(goals[p])) * (2.0 / 255.0);
            error = add(error, scratch[sumsAt + 4u * q + p] * (1.0 / (X_SCALE * W_SCALE)) + shift[4u * q + p] - goal);
          }
          //#end
        } else {
          //#unroll p 4
          {
            const p = 0u;
            error = add(error, scratch[sumsAt + 4u * q + p] * (1.0 / (X_SCALE * W_SCALE)) + shift[4u * q + p]);
          }
          //#end
        }
      }
      //#end
      errors[head][(subgroup * SHARERS + sharer) * TILE_M + row] = dot(error, vec4<f32>(1.0));
      workgroupBarrier();  // what lies there was used
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
