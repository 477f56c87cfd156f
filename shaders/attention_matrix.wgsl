// attention.wgsl (the ladder is there) on a GPU's matrix units, in float16 with float32 scores and
// sums. It runs if WebGPU has matrix units that multiply float16 and sum in float32.
//
// Versions, counted as in the ladder:
//    24 / 37,  28 / 20 warps  matrices loaded from the buffer, sums rescaled in memory in each step
//    14 / 20,  28 / 16 warps  this file, 32 keys a step: keys and values staged, sums stay matrices
//    11 / 14,  20 / 16 warps  64 keys a step; workgroup memory leaves 12 / 8 warps
//
// 1. The subgroups of a workgroup share a tile of KEYS keys and values. The lanes copy it to
//    workgroup memory, 16 bytes at a time, and load the next one while this one is used.
// 2. A subgroup owns SIDE_M queries. It stores their scores to workgroup memory. There SHARERS
//    lanes take a row each and replace the scores by p = exp2(score - row_max).
// 3. Products of p and values stay in registers as matrices. A column of ones beside the values
//    makes the sum of p.
// 4. row_max may be old. It changes only when a score of the workgroup exceeds its row's by LIMIT.
//    Then the sums pass through workgroup memory and are rescaled. Every row has a row_max of its
//    own, so it keeps its p however far its scores lie below those of its neighbours.
//
// Only the first tile may have fewer than KEYS keys, so the loop needs no bounds. Queries beyond
// the last one are copies of it and are not stored.
enable f16;
enable subgroups;
//#if SIZED
enable subgroup_size_control;
//#endif
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;  // a multiple of SIDE_K and VALUE_N
const SCALE: f32 = 1.0;
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const VALUE_N: u32 = 8u;  // columns of a matrix of values
const KEYS: u32 = 32u;  // per tile
const LANES: u32 = 32u;  // of a subgroup
const SUBGROUPS: u32 = 4u;
const INNER: u32 = 4u;  // HEAD_WIDTH / SIDE_K
const SCORE_TILES: u32 = 2u;  // matrices of scores in the unrolled code: divides KEYS / SIDE_N
const P_TILES: u32 = 2u;  // matrices of p in it: divides KEYS / SIDE_K
const VECTORS: u32 = 4u;  // LANE_KEYS / 4: vec4s of scores per lane
const PAIRS: u32 = 2u;  // LANE_KEYS / 8
const CHUNKS: u32 = 2u;  // KEYS / ROWS_AT_ONCE, rounded up
const VALUE_TILES: u32 = 8u;  // HEAD_WIDTH / VALUE_N
const ROUNDS: u32 = 2u;  // rounds in which sums pass through workgroup memory, COLUMNS at a time
const ROUND_TILES: u32 = 4u;  // VALUE_TILES / ROUNDS

const WORKGROUP: u32 = SUBGROUPS * LANES;
const HEAD8: u32 = HEAD_WIDTH / 8u;
// rows of a tile copied at once: divides KEYS, or is larger
const ROWS_AT_ONCE: u32 = WORKGROUP / HEAD8;
const SHARERS: u32 = LANES / SIDE_M;  // lanes that share a row of scores
const LANE_KEYS: u32 = KEYS / SHARERS;  // scores per lane: a multiple of SIDE_N, SIDE_K and 8
const STEPS: u32 = (TOKENS + KEYS - 1u) / KEYS;
const FIRST_KEYS: u32 = TOKENS - (STEPS - 1u) * KEYS;
// Row strides in workgroup memory, in vec4s. One more than a row has: rows begin in different
// banks.
const STAGED: u32 = HEAD8 + 1u;  // keys or values
const PART: u32 = LANE_KEYS / 4u + 1u;  // scores per lane
const ROW: u32 = KEYS / 4u + max(SHARERS, VALUE_N / 4u);  // scores or sums: HEAD8 at least
const COLUMNS: u32 = HEAD_WIDTH / ROUNDS;  // KEYS at most
const TO_EXPONENT: f32 = SCALE * 1.4426950408889634;
// A row's largest p is 2^AIM when row_max is new, and 2^LIMIT at most: float16 ends at 2^16.
// Values down to 2^-18 of the largest are normal numbers; smaller ones are off by 2^-29 of it.
const AIM: f32 = 4.0;
const LIMIT: f32 = 14.0;
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Keys = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Scores = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;
alias Values = subgroup_matrix_right<f16, VALUE_N, SIDE_K>;
alias Sums = subgroup_matrix_result<f32, VALUE_N, SIDE_M>;

// A vec4 holds 8 values of float16, or 4 of float32. Matrices load from such arrays too, and
// offsets and strides count in vec4s.
// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<u32>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

var<workgroup> k_tile: array<vec4<u32>, KEYS * STAGED>;
// The vec4 at a row's end holds ones. Only the first column of the matrix that begins there counts:
// a matrix of 16 columns reaches into the next row, and beyond the last one.
var<workgroup> v_tile: array<vec4<u32>, KEYS * STAGED + 1u>;
// Queries; scores, then p in their place; sums.
var<workgroup> scratch: array<vec4<u32>, SUBGROUPS * SIDE_M * ROW>;
var<workgroup> needs_rescale: atomic<u32>;  // whether a row needs a new row_max

//#include "common/halves.wgsl"

//#if SIZED
@compute @workgroup_size(WORKGROUP) @subgroup_size(LANES)
//#endif
//#if !SIZED
@compute @workgroup_size(WORKGROUP)
//#endif
fn attention(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  const ROW8 = HEADS * HEAD8;
  const PLANE8 = SAMPLES * TOKENS * ROW8;
  const ONES = vec4<u32>(0x3c003c00u);
  let local = subgroup * LANES + lane;
  let first = group.z * TOKENS * ROW8 + group.y * HEAD8;
  let first_query = (group.x * SUBGROUPS + subgroup) * SIDE_M;
  let own = subgroup * SIDE_M * ROW;
  for (var i = lane; i < SIDE_M * HEAD8; i += LANES) {
    let query = min(first_query + i / HEAD8, TOKENS - 1u);
    scratch[own + (i / HEAD8) * ROW + i % HEAD8] = qkv[first + query * ROW8 + i % HEAD8];
  }
  // The first tile. Copies of its last key fill it up. Their values, and their ones, are zeros.
  for (var i = local; i < KEYS * HEAD8; i += WORKGROUP) {
    let row = i / HEAD8;
    let at = first + PLANE8 + min(row, FIRST_KEYS - 1u) * ROW8 + i % HEAD8;
    k_tile[row * STAGED + i % HEAD8] = qkv[at];
    v_tile[row * STAGED + i % HEAD8] = select(vec4<u32>(0u), qkv[at + PLANE8], row < FIRST_KEYS);
  }
  for (var i = local; i < KEYS; i += WORKGROUP) {
    v_tile[i * STAGED + HEAD8] = select(vec4<u32>(0u), ONES, i < FIRST_KEYS);
  }
  workgroupBarrier();
  var q: array<Left, INNER>;
  //#unroll i INNER
  {
    const i = 0u;
    q[i] = subgroupMatrixLoad<Left, row_major>(&scratch, own + i * SIDE_K / 8u, ROW);
  }
  //#end
  var acc: array<Sums, VALUE_TILES>;
  var exp_sum: Sums;
  var row_max = -3.0e38;  // a maximum of the row's scores, as exponents of 2, minus AIM
  let row = own + (lane / SHARERS) * ROW;
  let own_part = row + (lane % SHARERS) * PART;
  // What the lane copies, and where to. If a tile has fewer vectors than the workgroup lanes, some
  // lanes copy nothing.
  let copies = ROWS_AT_ONCE <= KEYS || local / HEAD8 < KEYS;
  let source = first + PLANE8 + (FIRST_KEYS + min(local / HEAD8, KEYS - 1u)) * ROW8 + local % HEAD8;
  let slot = (local / HEAD8) * STAGED + local % HEAD8;
  for (var step = 0u; step < STEPS; step++) {
    workgroupBarrier();  // p, or the queries, were used: scores take their place
    // Loads without conditions keep registers free. So the last step loads keys once more, and the
    // first one values that it does not store.
    var next_keys: array<vec4<u32>, CHUNKS>;
    if (STEPS > 1u) {
      let at = source + min(step, max(STEPS, 2u) - 2u) * KEYS * ROW8;
      //#unroll c CHUNKS
      {
        const c = 0u;
        next_keys[c] = qkv[at + c * ROWS_AT_ONCE * ROW8];
      }
      //#end
    }
    for (var key0 = 0u; key0 < KEYS; key0 += SCORE_TILES * SIDE_N) {
      //#unroll j SCORE_TILES
      {
        const j = 0u;
        let key = key0 + j * SIDE_N;
        var scores = Scores();
        //#unroll i INNER
        {
          const i = 0u;
          let keys = subgroupMatrixLoad<Keys, col_major>(&k_tile, key * STAGED + i * SIDE_K / 8u, STAGED);
          scores = subgroupMatrixMultiplyAccumulate(q[i], keys, scores);
        }
        //#end
        let at = own + (key / LANE_KEYS) * PART + key % LANE_KEYS / 4u;
        subgroupMatrixStore<row_major>(&scratch, at, scores, ROW);
      }
      //#end
    }
    workgroupBarrier();  // scores are stored; keys were used, and the values of the step before
    if (step + 1u < STEPS && copies) {
      //#unroll c CHUNKS
      {
        const c = 0u;
        k_tile[slot + c * ROWS_AT_ONCE * STAGED] = next_keys[c];
      }
      //#end
    }
    var values: array<vec4<u32>, CHUNKS>;
    if (STEPS > 1u) {
      let at = source + PLANE8 + (max(step, 1u) - 1u) * KEYS * ROW8;
      //#unroll c CHUNKS
      {
        const c = 0u;
        values[c] = qkv[at + c * ROWS_AT_ONCE * ROW8];
      }
      //#end
    }
    var score: array<vec4<f32>, VECTORS>;
    var lane_max = vec4<f32>(-3.0e38);
    //#unroll i VECTORS
    {
      const i = 0u;
      score[i] = bitcast<vec4<f32>>(scratch[own_part + i]);
      lane_max = max(lane_max, score[i]);
    }
    //#end
    let score_max = max(max(lane_max.x, lane_max.y), max(lane_max.z, lane_max.w)) * TO_EXPONENT;
    if (score_max - row_max > LIMIT) { atomicStore(&needs_rescale, 1u); }
    if (workgroupUniformLoad(&needs_rescale) != 0u) {
      // The scores are in registers, so scratch is free for the sums.
      atomicStore(&needs_rescale, 0u);
      var new_max = max(row_max, score_max - AIM);
      for (var s = 1u; s < SHARERS; s *= 2u) { new_max = max(new_max, subgroupShuffleXor(new_max, s)); }
      let rescale = exp2(row_max - new_max);
      row_max = new_max;
      //#unroll r ROUNDS
      {
        const r = 0u;
        //#unroll j ROUND_TILES
        {
          const j = 0u;
          subgroupMatrixStore<row_major>(&scratch, own + j * VALUE_N / 4u, acc[r * ROUND_TILES + j], ROW);
        }
        //#end
        if (r == 0u) { subgroupMatrixStore<row_major>(&scratch, own + COLUMNS / 4u, exp_sum, ROW); }
        workgroupBarrier();
        for (var i = 0u; i < (COLUMNS + VALUE_N) / 4u; i += SHARERS) {
          let at = row + lane % SHARERS + i;
          scratch[at] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[at]) * rescale);
        }
        workgroupBarrier();
        //#unroll j ROUND_TILES
        {
          const j = 0u;
          acc[r * ROUND_TILES + j] = subgroupMatrixLoad<Sums, row_major>(&scratch, own + j * VALUE_N / 4u, ROW);
        }
        //#end
        if (r == 0u) { exp_sum = subgroupMatrixLoad<Sums, row_major>(&scratch, own + COLUMNS / 4u, ROW); }
        workgroupBarrier();
      }
      //#end
    }
    //#unroll i PAIRS
    {
      const i = 0u;
      let low = exp2(score[2u * i] * TO_EXPONENT - row_max);
      let high = exp2(score[2u * i + 1u] * TO_EXPONENT - row_max);
      scratch[own_part + i] = pack_halves(low, high);
    }
    //#end
    if (step > 0u && copies) {
      //#unroll c CHUNKS
      {
        const c = 0u;
        v_tile[slot + c * ROWS_AT_ONCE * STAGED] = values[c];
      }
      //#end
      if (local % HEAD8 == 0u) {
        //#unroll c CHUNKS
        {
          const c = 0u;
          v_tile[slot + HEAD8 + c * ROWS_AT_ONCE * STAGED] = ONES;
        }
        //#end
      }
    }
    workgroupBarrier();
    for (var key0 = 0u; key0 < KEYS; key0 += P_TILES * SIDE_K) {
      //#unroll i P_TILES
      {
        const i = 0u;
        let key = key0 + i * SIDE_K;
        let p = subgroupMatrixLoad<Left, row_major>(&scratch, own + (key / LANE_KEYS) * PART + key % LANE_KEYS / 8u, ROW);
        //#unroll j VALUE_TILES
        {
          const j = 0u;
          let column = subgroupMatrixLoad<Values, row_major>(&v_tile, key * STAGED + j * VALUE_N / 8u, STAGED);
          acc[j] = subgroupMatrixMultiplyAccumulate(p, column, acc[j]);
        }
        //#end
        let ones = subgroupMatrixLoad<Values, row_major>(&v_tile, key * STAGED + HEAD8, STAGED);
        exp_sum = subgroupMatrixMultiplyAccumulate(p, ones, exp_sum);
      }
      //#end
    }
  }
  workgroupBarrier();
  let query = first_query + lane / SHARERS;
  var inv_exp_sum = 1.0;
  //#unroll r ROUNDS
  {
    const r = 0u;
    //#unroll j ROUND_TILES
    {
      const j = 0u;
      subgroupMatrixStore<row_major>(&scratch, own + j * VALUE_N / 4u, acc[r * ROUND_TILES + j], ROW);
    }
    //#end
    if (r == 0u) { subgroupMatrixStore<row_major>(&scratch, own + COLUMNS / 4u, exp_sum, ROW); }
    workgroupBarrier();
    if (r == 0u) { inv_exp_sum = 1.0 / bitcast<vec4<f32>>(scratch[row + COLUMNS / 4u]).x; }
    if (query < TOKENS) {
      for (var i = lane % SHARERS; i < COLUMNS / 8u; i += SHARERS) {
        let low = bitcast<vec4<f32>>(scratch[row + 2u * i]) * inv_exp_sum;
        let high = bitcast<vec4<f32>>(scratch[row + 2u * i + 1u]) * inv_exp_sum;
        y[first + query * ROW8 + r * COLUMNS / 8u + i] = pack_halves(low, high);
      }
    }
    workgroupBarrier();
  }
  //#end
}
