// head_errors.wgsl on a GPU's matrix units.
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
const HEADS: u32 = 2u;
const ABSOLUTE: bool = false;
const PARTS: u32 = 8u;  // tiles of pixels: 4 * PATCH * PATCH / TILE_N
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const TILES_M: u32 = 4u;
const TILES_N: u32 = 2u;
const SUBGROUPS: u32 = 4u;
const LANES: u32 = 32u;  // the subgroup's size
const WORKGROUP: u32 = 128u;  // SUBGROUPS * LANES
const K_STEP: u32 = 32u;
const X_LOADS: u32 = 2u;
const W_LOADS: u32 = 4u;
const OWN: u32 = 4u;  // pixels of a lane: PIXELS / SHARERS
const SIDE_STEPS: u32 = 2u;  // K_STEP / SIDE_K
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

struct Sample { previous: u32, current: u32, next: u32, before: u32, after: u32, target_: u32, frame: u32, unused: u32 }

@group(0) @binding(0) var<storage, read> teacher: array<vec4<u32>>;  // [samples, 1 + TOKENS, WIDTH] of f16, normalised
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;  // [HEADS, WIDTH, P*P, 4] of f16
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [HEADS, P*P, 4]
//#if STUDENT
@group(0) @binding(3) var<storage, read> student: array<vec4<u32>>;
//#endif
@group(0) @binding(6) var<storage, read> targets: array<vec4<u32>>;  // [slots, H, W]
@group(0) @binding(7) var<storage, read> samples: array<Sample>;
@group(0) @binding(8) var<storage, read_write> partial: array<vec2<f32>>;  // [M, PARTS] sums (student, target)

const AREA = PATCH * PATCH;
const IMAGE4 = GRID_WIDTH * PATCH / 4u;
const TILE_M = TILES_M * SIDE_M;
const TILE_N8 = SUBGROUPS * TILES_N * SIDE_N / 8u;
const STEP8 = K_STEP / 8u;
const X_ROWS = WORKGROUP / STEP8;  // that a load of all invocations takes
const W_ROWS = WORKGROUP / TILE_N8;
const X_STRIDE = STEP8 + 1u;
const W_STRIDE = TILE_N8 + 1u;
const W_TILE = TILE_M * X_STRIDE;
const PIXELS = TILES_N * SIDE_N / 4u;  // of a subgroup
const SHARERS = LANES / SIDE_M;  // lanes that share a row
const S_STRIDE = PIXELS + 1u;
const K_STEPS = WIDTH / K_STEP;
var<workgroup> corners: array<u32, TILE_M>;
var<workgroup> tile: array<vec4<u32>, W_TILE + K_STEP * W_STRIDE>;
var<workgroup> scratch: array<vec4<f32>, SUBGROUPS * SIDE_M * S_STRIDE>;
var<workgroup> errors: array<array<f32, SUBGROUPS * SHARERS * TILE_M>, HEADS>;

struct Step {
  x: array<vec4<u32>, X_LOADS>,
  w: array<vec4<u32>, W_LOADS>,
}

fn load(k: u32, xFrom: array<u32, X_LOADS>, wFrom: u32) -> Step {
  var step: Step;
  //#unroll i X_LOADS
  {
    const i = 0u;
    //#if STUDENT
    if (k >= K_STEPS) { step.x[i] = student[xFrom[i] + (k - K_STEPS) * STEP8] ^ vec4<u32>(0x80008000u); } else
    //#endif
    { step.x[i] = teacher[xFrom[i] + k * STEP8]; }
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    step.w[i] = weight[wFrom + k * (K_STEP * AREA / 2u) + i * W_ROWS * (AREA / 2u)];
  }
  //#end
  return step;
}

fn store(step: Step, xTo: u32, wTo: u32) {
  //#unroll i X_LOADS
  {
    const i = 0u;
    tile[xTo + i * X_ROWS * X_STRIDE] = step.x[i];
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    tile[wTo + i * W_ROWS * W_STRIDE] = step.w[i];
  }
  //#end
}

fn add(error: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
  if (ABSOLUTE) { return error + abs(d); }
  return fma(d, d, error);
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
  let row0 = group.y * TILE_M;
  for (var row = local; row < TILE_M; row += WORKGROUP) {
    let own = min(row0 + row, M - 1u);
    let token = own % TOKENS;
    corners[row] = samples[own / TOKENS].target_ * (TOKENS * AREA / 4u) + (token / GRID_WIDTH) * PATCH * IMAGE4 + (token % GRID_WIDTH) * (PATCH / 4u);
  }
  var xFrom: array<u32, X_LOADS>;
  //#unroll i X_LOADS
  {
    const i = 0u;
    let own = min(row0 + local / STEP8 + i * X_ROWS, M - 1u);
    xFrom[i] = (own + own / TOKENS + 1u) * (WIDTH / 8u) + local % STEP8;
  }
  //#end
  let wFrom = local / TILE_N8 * (AREA / 2u) + group.x * TILE_N8 + local % TILE_N8;
  let xTo = local + local / STEP8;
  let wTo = W_TILE + local + local / TILE_N8;
  let ownColumn = subgroup * (TILES_N * SIDE_N / 8u);
  let ownScratch = subgroup * SIDE_M * S_STRIDE;
  store(load(0u, xFrom, wFrom), xTo, wTo);
  workgroupBarrier();
  let sharer = lane / SIDE_M;
  let pixel = group.x * (TILE_N8 * 2u) + subgroup * PIXELS + sharer * OWN;
  let scratchAt = ownScratch + lane % SIDE_M * S_STRIDE + sharer * OWN;
  var sums: array<Result, TILES_M * TILES_N>;
  for (var head = 0u; head < HEADS + group.z; head++) {
    var step = head * K_STEPS;
    let end = step + K_STEPS + group.z;  // group.z is 0, which keeps compilers from unrolling
    loop {
      let next = load(min(step + 1u, HEADS * K_STEPS - 1u), xFrom, wFrom);
      //#unroll k SIDE_STEPS
      {
        const k = 0u;
        var a: array<Left, TILES_M>;
        //#unroll i TILES_M
        {
          const i = 0u;
          a[i] = subgroupMatrixLoad<Left, row_major>(&tile, i * SIDE_M * X_STRIDE + k * SIDE_K / 8u, X_STRIDE);
        }
        //#end
        //#unroll j TILES_N
        {
          const j = 0u;
          let b = subgroupMatrixLoad<Right, row_major>(&tile, W_TILE + k * SIDE_K * W_STRIDE + ownColumn + j * SIDE_N / 8u, W_STRIDE);
          //#unroll i TILES_M
          {
            const i = 0u;
            sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a[i], b, sums[i * TILES_N + j]);
          }
          //#end
        }
        //#end
      }
      //#end
      workgroupBarrier();
      store(next, xTo, wTo);
      workgroupBarrier();
      continuing {
        step++;
        break if step == end;
      }
    }
    var shift: array<vec4<f32>, OWN>;
    //#unroll p OWN
    {
      const p = 0u;
      var less = vec4<f32>(-1.0);
      //#if STUDENT
      less = select(less, bias[AREA + pixel + p], head == 1u);
      //#endif
      shift[p] = bias[pixel + p] - less;
    }
    //#end
    //#unroll i TILES_M
    {
      const i = 0u;
      //#unroll j TILES_N
      {
        const j = 0u;
        subgroupMatrixStore<row_major>(&scratch, ownScratch + j * SIDE_N / 4u, sums[i * TILES_N + j], S_STRIDE);
      }
      //#end
      workgroupBarrier();
      let row = i * SIDE_M + lane % SIDE_M;
      var error = vec4<f32>(0.0);
      if (head == 0u) {
        let goals = targets[corners[row] + pixel / PATCH * IMAGE4 + pixel % PATCH / 4u];
        //#unroll p OWN
        {
          const p = 0u;
          error = add(error, fma(vec4<f32>(unpack4xU8(goals[p])), vec4<f32>(-2.0 / 255.0), scratch[scratchAt + p] + shift[p]));
        }
        //#end
      } else {
        //#unroll p OWN
        {
          const p = 0u;
          error = add(error, scratch[scratchAt + p] + shift[p]);
        }
        //#end
      }
      errors[head][(subgroup * SHARERS + sharer) * TILE_M + row] = dot(error, vec4<f32>(1.0));
      workgroupBarrier();
    }
    //#end
  }
  for (var row = local; row < TILE_M; row += WORKGROUP) {
    var sum = vec2<f32>(0.0);
    for (var i = 0u; i < SUBGROUPS * SHARERS; i++) {
      sum.y += errors[0][i * TILE_M + row];
      //#if STUDENT
      sum.x += errors[1][i * TILE_M + row];
      //#endif
    }
    if (row0 + row < M) { partial[(row0 + row) * PARTS + group.x] = sum; }
  }
}
