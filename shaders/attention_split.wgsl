// attention_matrix.wgsl in float32, on the same units; the ladder is in attention.wgsl. A value is
// the sum of two in float16, high + low, and a product is three (as in linear_split.wgsl):
// high * low + low * high + high * high. The rest is as in attention_matrix.wgsl.
//
// Versions, counted as in the ladder:
//    37 / 53,  20 / 16 warps  tiles split in every step, sums rescaled in memory in every step
//    25 / 32,  20 / 16 warps  this file, 32 keys a step, 4 / 8 subgroups: sums stay matrices
//    21 / -,   16 warps       64 keys a step; workgroup memory leaves 8 warps
// What remains is 7.6 / 5.2 instructions per matrix operation: 4 instructions split each value of a
// tile, 3 each p.
//
// INPUT_SCALE keeps low parts out of float16's subnormals. A high part ends at 65504, a value at
// 4094.
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
const INPUT_SCALE: f32 = 16.0;
const TO_EXPONENT: f32 = SCALE * 1.4426950408889634 / (INPUT_SCALE * INPUT_SCALE);
// A row's largest p is 2^AIM when row_max is new, and 2^LIMIT at most: float16 ends at 2^16.
// Low parts lose 2^-35 of the largest p at most.
const AIM: f32 = 10.0;
const LIMIT: f32 = 15.0;
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Keys = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Scores = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;
alias Values = subgroup_matrix_right<f16, VALUE_N, SIDE_K>;
alias Sums = subgroup_matrix_result<f32, VALUE_N, SIDE_M>;

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

var<workgroup> k_high: array<vec4<u32>, KEYS * STAGED>;
var<workgroup> k_low: array<vec4<u32>, KEYS * STAGED>;
// The vec4 at a row's end holds ones. Only the first column of the matrix that begins there counts:
// a matrix of 16 columns reaches into the next row, and beyond the last one.
var<workgroup> v_high: array<vec4<u32>, KEYS * STAGED + 1u>;
var<workgroup> v_low: array<vec4<u32>, KEYS * STAGED>;
// Queries; scores, then both parts of p in their place; sums.
var<workgroup> scratch: array<vec4<u32>, SUBGROUPS * SIDE_M * ROW>;
var<workgroup> needs_rescale: atomic<u32>;  // whether a row needs a new row_max

// Eight values: their leading 11 bits, which float16 holds, and what remains.
struct Halves {
  high: vec4<u32>,
  low: vec4<u32>,
}

//#include "common/high_part.wgsl"

//#include "common/halves.wgsl"

fn split(a: vec4<f32>, b: vec4<f32>) -> Halves {
  let high_a = high_part(a);
  let high_b = high_part(b);
  return Halves(pack_halves(high_a, high_b), pack_halves(a - high_a, b - high_b));
}

fn input(at: u32) -> Halves {
  return split(qkv[at] * INPUT_SCALE, qkv[at + 1u] * INPUT_SCALE);
}

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
  const ROW4 = HEADS * HEAD8 * 2u;
  const PLANE4 = SAMPLES * TOKENS * ROW4;
  const ONES = vec4<u32>(0x3c003c00u);
  let local = subgroup * LANES + lane;
  let first = group.z * TOKENS * ROW4 + group.y * HEAD8 * 2u;
  let first_query = (group.x * SUBGROUPS + subgroup) * SIDE_M;
  let own = subgroup * SIDE_M * ROW;
  for (var i = lane; i < SIDE_M * HEAD8; i += LANES) {
    let query = min(first_query + i / HEAD8, TOKENS - 1u);
    scratch[own + (i / HEAD8) * ROW + i % HEAD8] = input(first + query * ROW4 + i % HEAD8 * 2u).low;
  }
  workgroupBarrier();
  var q_low: array<Left, INNER>;
  //#unroll i INNER
  {
    const i = 0u;
    q_low[i] = subgroupMatrixLoad<Left, row_major>(&scratch, own + i * SIDE_K / 8u, ROW);
  }
  //#end
  workgroupBarrier();
  // The first tile. Copies of its last key fill it up. Their values, and their ones, are zeros.
  for (var i = local; i < KEYS * HEAD8; i += WORKGROUP) {
    let row = i / HEAD8;
    let at = first + PLANE4 + min(row, FIRST_KEYS - 1u) * ROW4 + i % HEAD8 * 2u;
    let staged = row * STAGED + i % HEAD8;
    let key = input(at);
    k_high[staged] = key.high;
    k_low[staged] = key.low;
    let value = input(at + PLANE4);
    v_high[staged] = select(vec4<u32>(0u), value.high, row < FIRST_KEYS);
    v_low[staged] = select(vec4<u32>(0u), value.low, row < FIRST_KEYS);
  }
  for (var i = local; i < KEYS; i += WORKGROUP) {
    v_high[i * STAGED + HEAD8] = select(vec4<u32>(0u), ONES, i < FIRST_KEYS);
  }
  for (var i = lane; i < SIDE_M * HEAD8; i += LANES) {
    let query = min(first_query + i / HEAD8, TOKENS - 1u);
    scratch[own + (i / HEAD8) * ROW + i % HEAD8] = input(first + query * ROW4 + i % HEAD8 * 2u).high;
  }
  workgroupBarrier();
  var q_high: array<Left, INNER>;
  //#unroll i INNER
  {
    const i = 0u;
    q_high[i] = subgroupMatrixLoad<Left, row_major>(&scratch, own + i * SIDE_K / 8u, ROW);
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
  let source = first + PLANE4 + (FIRST_KEYS + min(local / HEAD8, KEYS - 1u)) * ROW4 + local % HEAD8 * 2u;
  let slot = (local / HEAD8) * STAGED + local % HEAD8;
  for (var step = 0u; step < STEPS; step++) {
    workgroupBarrier();  // p, or the queries, were used: scores take their place
    // Loads without conditions keep registers free. So the last step loads keys once more, and the
    // first one values that it does not store.
    var next_keys: array<array<vec4<f32>, 2>, CHUNKS>;
    if (STEPS > 1u) {
      let at = source + min(step, max(STEPS, 2u) - 2u) * KEYS * ROW4;
      //#unroll c CHUNKS
      {
        const c = 0u;
        next_keys[c][0] = qkv[at + c * ROWS_AT_ONCE * ROW4];
        next_keys[c][1] = qkv[at + c * ROWS_AT_ONCE * ROW4 + 1u];
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
          let keys_low = subgroupMatrixLoad<Keys, col_major>(&k_low, key * STAGED + i * SIDE_K / 8u, STAGED);
          scores = subgroupMatrixMultiplyAccumulate(q_high[i], keys_low, scores);
          let keys_high = subgroupMatrixLoad<Keys, col_major>(&k_high, key * STAGED + i * SIDE_K / 8u, STAGED);
          scores = subgroupMatrixMultiplyAccumulate(q_low[i], keys_high, scores);
          scores = subgroupMatrixMultiplyAccumulate(q_high[i], keys_high, scores);
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
        let key = split(next_keys[c][0] * INPUT_SCALE, next_keys[c][1] * INPUT_SCALE);
        k_high[slot + c * ROWS_AT_ONCE * STAGED] = key.high;
        k_low[slot + c * ROWS_AT_ONCE * STAGED] = key.low;
      }
      //#end
    }
    var values: array<array<vec4<f32>, 2>, CHUNKS>;
    if (STEPS > 1u) {
      let at = source + PLANE4 + (max(step, 1u) - 1u) * KEYS * ROW4;
      //#unroll c CHUNKS
      {
        const c = 0u;
        values[c][0] = qkv[at + c * ROWS_AT_ONCE * ROW4];
        values[c][1] = qkv[at + c * ROWS_AT_ONCE * ROW4 + 1u];
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
      let p = split(low, high);
      scratch[own_part + i] = p.high;
      scratch[own_part + PAIRS + i] = p.low;
    }
    //#end
    if (step > 0u && copies) {
      //#unroll c CHUNKS
      {
        const c = 0u;
        let value = split(values[c][0] * INPUT_SCALE, values[c][1] * INPUT_SCALE);
        v_high[slot + c * ROWS_AT_ONCE * STAGED] = value.high;
        v_low[slot + c * ROWS_AT_ONCE * STAGED] = value.low;
      }
      //#end
      if (local % HEAD8 == 0u) {
        //#unroll c CHUNKS
        {
          const c = 0u;
          v_high[slot + HEAD8 + c * ROWS_AT_ONCE * STAGED] = ONES;
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
        let at = own + (key / LANE_KEYS) * PART + key % LANE_KEYS / 8u;
        let p_high = subgroupMatrixLoad<Left, row_major>(&scratch, at, ROW);
        let p_low = subgroupMatrixLoad<Left, row_major>(&scratch, at + PAIRS, ROW);
        //#unroll j VALUE_TILES
        {
          const j = 0u;
          let column_low = subgroupMatrixLoad<Values, row_major>(&v_low, key * STAGED + j * VALUE_N / 8u, STAGED);
          acc[j] = subgroupMatrixMultiplyAccumulate(p_high, column_low, acc[j]);
          let column_high = subgroupMatrixLoad<Values, row_major>(&v_high, key * STAGED + j * VALUE_N / 8u, STAGED);
          acc[j] = subgroupMatrixMultiplyAccumulate(p_low, column_high, acc[j]);
          acc[j] = subgroupMatrixMultiplyAccumulate(p_high, column_high, acc[j]);
        }
        //#end
        let ones = subgroupMatrixLoad<Values, row_major>(&v_high, key * STAGED + HEAD8, STAGED);
        exp_sum = subgroupMatrixMultiplyAccumulate(p_low, ones, exp_sum);
        exp_sum = subgroupMatrixMultiplyAccumulate(p_high, ones, exp_sum);
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
    if (r == 0u) { inv_exp_sum = 1.0 / INPUT_SCALE / bitcast<vec4<f32>>(scratch[row + COLUMNS / 4u]).x; }
    if (query < TOKENS) {
      for (var i = lane % SHARERS; i < COLUMNS / 4u; i += SHARERS) {
        y[first + query * ROW4 + r * COLUMNS / 4u + i] = bitcast<vec4<f32>>(scratch[row + i]) * inv_exp_sum;
      }
    }
    workgroupBarrier();
  }
  //#end
}
