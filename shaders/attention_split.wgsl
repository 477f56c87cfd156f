// attention_matrix.wgsl in float32, on the same units: a value is the sum of two in float16, high +
// low, and a product is three, high * low + low * high + high * high (as in linear_split.wgsl).
// How the rest goes stands there.
//
// The versions of attention in float32, counted as there:
//   176 / 336, 20 / 12 warps  attention.wgsl
//    99 / 185, 28 / 28 warps  attention_tiled.wgsl
//    37 / 53,  20 / 16 warps  tiles split at every step, sums rescaled in memory at every step
//    25 / 32,  20 / 16 warps  this file, 32 keys a step, 4 / 8 subgroups: sums stay matrices
//    21 / -,   16 warps       64 keys a step; workgroup memory leaves 8 warps
// What remains is 7.6 / 5.2 instructions per matrix operation: 4 instructions split each value of a
// tile, 3 each share. attention_subgroup.wgsl serves software adapters.
// This file runs where attention_matrix.wgsl does.
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
const KEYS: u32 = 32u;  // of a tile
const LANES: u32 = 32u;  // of a subgroup
const SUBGROUPS: u32 = 4u;
const INNER: u32 = 4u;  // HEAD_WIDTH / SIDE_K
const SCORE_TILES: u32 = 2u;  // matrices of scores in the unrolled code: divides KEYS / SIDE_N
const SHARE_TILES: u32 = 2u;  // matrices of shares in it: divides KEYS / SIDE_K
const VECTORS: u32 = 4u;  // SHARE / 4: vec4s of scores of a lane
const PAIRS: u32 = 2u;  // SHARE / 8
const CHUNKS: u32 = 2u;  // KEYS / ROWS_AT_ONCE, rounded up
const VALUE_TILES: u32 = 8u;  // HEAD_WIDTH / VALUE_N
const ROUNDS: u32 = 2u;  // in which sums pass through workgroup memory, COLUMNS of them at a time
const ROUND_TILES: u32 = 4u;  // VALUE_TILES / ROUNDS

const WORKGROUP: u32 = SUBGROUPS * LANES;
const HEAD8: u32 = HEAD_WIDTH / 8u;
const ROWS_AT_ONCE: u32 = WORKGROUP / HEAD8;  // of a tile, copied: divides KEYS, or is more
const SHARERS: u32 = LANES / SIDE_M;  // lanes of a row of scores
const SHARE: u32 = KEYS / SHARERS;  // scores of a lane: a multiple of SIDE_N, SIDE_K and 8
const STEPS: u32 = (TOKENS + KEYS - 1u) / KEYS;
const FIRST_KEYS: u32 = TOKENS - (STEPS - 1u) * KEYS;
// The rows of workgroup memory, in vec4s. One more than they hold: rows begin in different banks.
const STAGED: u32 = HEAD8 + 1u;  // keys or values
const PART: u32 = SHARE / 4u + 1u;  // scores of a lane
const ROW: u32 = KEYS / 4u + max(SHARERS, VALUE_N / 4u);  // scores or sums: HEAD8 at least
const COLUMNS: u32 = HEAD_WIDTH / ROUNDS;  // KEYS at most
const INPUT_SCALE: f32 = 16.0;
const TO_EXPONENT: f32 = SCALE * 1.4426950408889634 / (INPUT_SCALE * INPUT_SCALE);
// A row's largest share is 2^AIM when rowMax is new, and 2^LIMIT at most: float16 ends at 2^16.
// What low parts lose is 2^-35 of the largest share at most.
const AIM: f32 = 10.0;
const LIMIT: f32 = 15.0;
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Keys = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Scores = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;
alias Values = subgroup_matrix_right<f16, VALUE_N, SIDE_K>;
alias Sums = subgroup_matrix_result<f32, VALUE_N, SIDE_M>;

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

var<workgroup> keyHigh: array<vec4<u32>, KEYS * STAGED>;
var<workgroup> keyLow: array<vec4<u32>, KEYS * STAGED>;
// The vec4 at a row's end holds ones. Only the first column of the matrix that begins there counts:
// a matrix of 16 columns reaches into the next row, and behind the last one.
var<workgroup> valueHigh: array<vec4<u32>, KEYS * STAGED + 1u>;
var<workgroup> valueLow: array<vec4<u32>, KEYS * STAGED>;
// Queries; scores, then both parts of shares in their place; sums.
var<workgroup> scratch: array<vec4<u32>, SUBGROUPS * SIDE_M * ROW>;
var<workgroup> outgrown: atomic<u32>;  // whether a row needs a new rowMax

// 8 values: their leading 11 bits, which float16 holds, and what remains.
struct Halves {
  high: vec4<u32>,
  low: vec4<u32>,
}

// By bits: compilers may drop a conversion to float16 and back.
fn leading(value: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) & vec4<u32>(0xffffe000u));
}

fn packed(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(bitcast<vec2<u32>>(vec4<f16>(low)), bitcast<vec2<u32>>(vec4<f16>(high)));
}

fn split(a: vec4<f32>, b: vec4<f32>) -> Halves {
  let highA = leading(a);
  let highB = leading(b);
  return Halves(packed(highA, highB), packed(a - highA, b - highB));
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
  let firstQuery = (group.x * SUBGROUPS + subgroup) * SIDE_M;
  let own = subgroup * SIDE_M * ROW;
  for (var i = lane; i < SIDE_M * HEAD8; i += LANES) {
    let query = min(firstQuery + i / HEAD8, TOKENS - 1u);
    scratch[own + (i / HEAD8) * ROW + i % HEAD8] = input(first + query * ROW4 + i % HEAD8 * 2u).low;
  }
  workgroupBarrier();
  var qLow: array<Left, INNER>;
  //#unroll i INNER
  {
    const i = 0u;
    qLow[i] = subgroupMatrixLoad<Left, row_major>(&scratch, own + i * SIDE_K / 8u, ROW);
  }
  //#end
  workgroupBarrier();
  // The first tile. Copies of its last key fill it up. Their values, and their ones, are zeros.
  for (var i = local; i < KEYS * HEAD8; i += WORKGROUP) {
    let row = i / HEAD8;
    let at = first + PLANE4 + min(row, FIRST_KEYS - 1u) * ROW4 + i % HEAD8 * 2u;
    let staged = row * STAGED + i % HEAD8;
    let key = input(at);
    keyHigh[staged] = key.high;
    keyLow[staged] = key.low;
    let value = input(at + PLANE4);
    valueHigh[staged] = select(vec4<u32>(0u), value.high, row < FIRST_KEYS);
    valueLow[staged] = select(vec4<u32>(0u), value.low, row < FIRST_KEYS);
  }
  for (var i = local; i < KEYS; i += WORKGROUP) {
    valueHigh[i * STAGED + HEAD8] = select(vec4<u32>(0u), ONES, i < FIRST_KEYS);
  }
  for (var i = lane; i < SIDE_M * HEAD8; i += LANES) {
    let query = min(firstQuery + i / HEAD8, TOKENS - 1u);
    scratch[own + (i / HEAD8) * ROW + i % HEAD8] = input(first + query * ROW4 + i % HEAD8 * 2u).high;
  }
  workgroupBarrier();
  var qHigh: array<Left, INNER>;
  //#unroll i INNER
  {
    const i = 0u;
    qHigh[i] = subgroupMatrixLoad<Left, row_major>(&scratch, own + i * SIDE_K / 8u, ROW);
  }
  //#end
  var sums: array<Sums, VALUE_TILES>;
  var total: Sums;
  var rowMax = -3.0e38;  // as exponents of 2: a maximum of the row, minus AIM
  let row = own + (lane / SHARERS) * ROW;
  let mine = row + (lane % SHARERS) * PART;
  // What the lane copies, and where to. If a tile has fewer vectors than the workgroup lanes, some
  // lanes copy nothing.
  let copies = ROWS_AT_ONCE <= KEYS || local / HEAD8 < KEYS;
  let source = first + PLANE4 + (FIRST_KEYS + min(local / HEAD8, KEYS - 1u)) * ROW4 + local % HEAD8 * 2u;
  let slot = (local / HEAD8) * STAGED + local % HEAD8;
  for (var step = 0u; step < STEPS; step++) {
    workgroupBarrier();  // shares, or queries, were used: scores take their place
    // Loads without conditions keep registers free. So the last step loads keys once more, and the
    // first one values that it does not store.
    var nextKeys: array<array<vec4<f32>, 2>, CHUNKS>;
    if (STEPS > 1u) {
      let at = source + min(step, max(STEPS, 2u) - 2u) * KEYS * ROW4;
      //#unroll c CHUNKS
      {
        const c = 0u;
        nextKeys[c][0] = qkv[at + c * ROWS_AT_ONCE * ROW4];
        nextKeys[c][1] = qkv[at + c * ROWS_AT_ONCE * ROW4 + 1u];
      }
      //#end
    }
    for (var key0 = 0u; key0 < KEYS; key0 += SCORE_TILES * SIDE_N) {
      //#unroll j SCORE_TILES
      {
        const j = 0u;
        let key = key0 + j * SIDE_N;
        var products = Scores();
        //#unroll i INNER
        {
          const i = 0u;
          let keysLow = subgroupMatrixLoad<Keys, col_major>(&keyLow, key * STAGED + i * SIDE_K / 8u, STAGED);
          products = subgroupMatrixMultiplyAccumulate(qHigh[i], keysLow, products);
          let keysHigh = subgroupMatrixLoad<Keys, col_major>(&keyHigh, key * STAGED + i * SIDE_K / 8u, STAGED);
          products = subgroupMatrixMultiplyAccumulate(qLow[i], keysHigh, products);
          products = subgroupMatrixMultiplyAccumulate(qHigh[i], keysHigh, products);
        }
        //#end
        let at = own + (key / SHARE) * PART + key % SHARE / 4u;
        subgroupMatrixStore<row_major>(&scratch, at, products, ROW);
      }
      //#end
    }
    workgroupBarrier();  // scores are stored; keys were used, and the values of the step before
    if (step + 1u < STEPS && copies) {
      //#unroll c CHUNKS
      {
        const c = 0u;
        let key = split(nextKeys[c][0] * INPUT_SCALE, nextKeys[c][1] * INPUT_SCALE);
        keyHigh[slot + c * ROWS_AT_ONCE * STAGED] = key.high;
        keyLow[slot + c * ROWS_AT_ONCE * STAGED] = key.low;
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
    var larger = vec4<f32>(-3.0e38);
    //#unroll i VECTORS
    {
      const i = 0u;
      score[i] = bitcast<vec4<f32>>(scratch[mine + i]);
      larger = max(larger, score[i]);
    }
    //#end
    let largest = max(max(larger.x, larger.y), max(larger.z, larger.w)) * TO_EXPONENT;
    if (largest - rowMax > LIMIT) { atomicStore(&outgrown, 1u); }
    if (workgroupUniformLoad(&outgrown) != 0u) {
      // The scores are in registers, so scratch is free for the sums.
      atomicStore(&outgrown, 0u);
      var reference = max(rowMax, largest - AIM);
      for (var s = 1u; s < SHARERS; s *= 2u) { reference = max(reference, subgroupShuffleXor(reference, s)); }
      let shrink = exp2(rowMax - reference);
      rowMax = reference;
      //#unroll r ROUNDS
      {
        const r = 0u;
        //#unroll j ROUND_TILES
        {
          const j = 0u;
          subgroupMatrixStore<row_major>(&scratch, own + j * VALUE_N / 4u, sums[r * ROUND_TILES + j], ROW);
        }
        //#end
        if (r == 0u) { subgroupMatrixStore<row_major>(&scratch, own + COLUMNS / 4u, total, ROW); }
        workgroupBarrier();
        for (var i = 0u; i < (COLUMNS + VALUE_N) / 4u; i += SHARERS) {
          let at = row + lane % SHARERS + i;
          scratch[at] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[at]) * shrink);
        }
        workgroupBarrier();
        //#unroll j ROUND_TILES
        {
          const j = 0u;
          sums[r * ROUND_TILES + j] = subgroupMatrixLoad<Sums, row_major>(&scratch, own + j * VALUE_N / 4u, ROW);
        }
        //#end
        if (r == 0u) { total = subgroupMatrixLoad<Sums, row_major>(&scratch, own + COLUMNS / 4u, ROW); }
        workgroupBarrier();
      }
      //#end
    }
    //#unroll i PAIRS
    {
      const i = 0u;
      let low = exp2(score[2u * i] * TO_EXPONENT - rowMax);
      let high = exp2(score[2u * i + 1u] * TO_EXPONENT - rowMax);
      let shares = split(low, high);
      scratch[mine + i] = shares.high;
      scratch[mine + PAIRS + i] = shares.low;
    }
    //#end
    if (step > 0u && copies) {
      //#unroll c CHUNKS
      {
        const c = 0u;
        let value = split(values[c][0] * INPUT_SCALE, values[c][1] * INPUT_SCALE);
        valueHigh[slot + c * ROWS_AT_ONCE * STAGED] = value.high;
        valueLow[slot + c * ROWS_AT_ONCE * STAGED] = value.low;
      }
      //#end
      if (local % HEAD8 == 0u) {
        //#unroll c CHUNKS
        {
          const c = 0u;
          valueHigh[slot + HEAD8 + c * ROWS_AT_ONCE * STAGED] = ONES;
        }
        //#end
      }
    }
    workgroupBarrier();
    for (var key0 = 0u; key0 < KEYS; key0 += SHARE_TILES * SIDE_K) {
      //#unroll i SHARE_TILES
      {
        const i = 0u;
        let key = key0 + i * SIDE_K;
        let at = own + (key / SHARE) * PART + key % SHARE / 8u;
        let sharesHigh = subgroupMatrixLoad<Left, row_major>(&scratch, at, ROW);
        let sharesLow = subgroupMatrixLoad<Left, row_major>(&scratch, at + PAIRS, ROW);
        //#unroll j VALUE_TILES
        {
          const j = 0u;
          let columnLow = subgroupMatrixLoad<Values, row_major>(&valueLow, key * STAGED + j * VALUE_N / 8u, STAGED);
          sums[j] = subgroupMatrixMultiplyAccumulate(sharesHigh, columnLow, sums[j]);
          let columnHigh = subgroupMatrixLoad<Values, row_major>(&valueHigh, key * STAGED + j * VALUE_N / 8u, STAGED);
          sums[j] = subgroupMatrixMultiplyAccumulate(sharesLow, columnHigh, sums[j]);
          sums[j] = subgroupMatrixMultiplyAccumulate(sharesHigh, columnHigh, sums[j]);
        }
        //#end
        let ones = subgroupMatrixLoad<Values, row_major>(&valueHigh, key * STAGED + HEAD8, STAGED);
        total = subgroupMatrixMultiplyAccumulate(sharesLow, ones, total);
        total = subgroupMatrixMultiplyAccumulate(sharesHigh, ones, total);
      }
      //#end
    }
  }
  workgroupBarrier();
  let query = firstQuery + lane / SHARERS;
  var whole = 1.0;
  //#unroll r ROUNDS
  {
    const r = 0u;
    //#unroll j ROUND_TILES
    {
      const j = 0u;
      subgroupMatrixStore<row_major>(&scratch, own + j * VALUE_N / 4u, sums[r * ROUND_TILES + j], ROW);
    }
    //#end
    if (r == 0u) { subgroupMatrixStore<row_major>(&scratch, own + COLUMNS / 4u, total, ROW); }
    workgroupBarrier();
    if (r == 0u) { whole = 1.0 / INPUT_SCALE / bitcast<vec4<f32>>(scratch[row + COLUMNS / 4u]).x; }
    if (query < TOKENS) {
      for (var i = lane % SHARERS; i < COLUMNS / 4u; i += SHARERS) {
        y[first + query * ROW4 + r * COLUMNS / 4u + i] = bitcast<vec4<f32>>(scratch[row + i]) * whole;
      }
    }
    workgroupBarrier();
  }
  //#end
}
