// attention_matrix.wgsl in float32: each value is the sum of two in float16, high + low, and three products make one, as in linear_split.wgsl. The workgroup's
// SUBGROUPS share keys and values: a block of them is split into workgroup memory at a time. Scaled by powers of two, so that low
// parts are no subnormals; high parts end at 4,000. Built-ins: see linear_matrix.wgsl.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;  // KEYS and SIDE_M at least
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;  // a multiple of KEYS and SIDE_K
const SCALE: f32 = 1.0;
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const KEYS: u32 = 32u;  // a multiple of SIDE_N, SIDE_K and 4 * SHARERS, SUBGROUPS * SIDE_M / 2 at least; also the columns of the values that are added at once
const CHUNKS: u32 = 2u;  // HEAD_WIDTH / KEYS
const INNER: u32 = 4u;  // HEAD_WIDTH / SIDE_K
const KEY_TILES_N: u32 = 2u;  // KEYS / SIDE_N
const KEY_TILES_K: u32 = 2u;  // KEYS / SIDE_K
const LANES: u32 = 32u;  // the subgroup's size
const SHARERS: u32 = 2u;  // LANES / SIDE_M: lanes of a query
const VECTORS: u32 = 4u;  // KEYS / SHARERS / 4: vec4s of a row of KEYS that a lane holds
const HELD: u32 = 8u;  // CHUNKS * VECTORS
const SUBGROUPS: u32 = 4u;
const WORKGROUP: u32 = 128u;  // SUBGROUPS * LANES
const INPUT_SCALE: f32 = 16.0;
const SHARE_SCALE: f32 = 1024.0;
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

var<workgroup> scores: array<f32, SUBGROUPS * SIDE_M * KEYS>;  // and the products with the values, KEYS columns at a time
var<workgroup> shareHigh: array<f16, SUBGROUPS * SIDE_M * KEYS>;
var<workgroup> shareLow: array<f16, SUBGROUPS * SIDE_M * KEYS>;
var<workgroup> high: array<f16, 2u * KEYS * HEAD_WIDTH>;  // keys, then values; in the beginning queries
var<workgroup> low: array<f16, 2u * KEYS * HEAD_WIDTH>;

// A value's leading 11 bits, which float16 holds; by bits, since compilers take a conversion there and back for nothing.
fn highPart(value: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) & vec4<u32>(0xffffe000u));
}

fn keep(at: u32, value: vec4<f32>) {
  let own = highPart(value * INPUT_SCALE);
  let rest = value * INPUT_SCALE - own;
  for (var c = 0u; c < 4u; c++) {
    high[at + c] = f16(own[c]);
    low[at + c] = f16(rest[c]);
  }
}

fn scoresAt(at: u32) -> vec4<f32> {
  return vec4<f32>(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]);
}

@compute @workgroup_size(WORKGROUP)
fn attention(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  const ROW4 = HEADS * HEAD_WIDTH / 4u;
  const PLANE4 = SAMPLES * TOKENS * ROW4;
  const HEAD4 = HEAD_WIDTH / 4u;
  let invocation = subgroup * LANES + lane;
  let firstQuery = (group.x * SUBGROUPS + subgroup) * SIDE_M;
  let query0 = min(firstQuery, TOKENS - SIDE_M);
  let first = group.z * TOKENS * ROW4 + group.y * HEAD4;
  for (var i = invocation; i < SUBGROUPS * SIDE_M * HEAD4; i += WORKGROUP) {
    let row = i / HEAD4;
    let query = min((group.x * SUBGROUPS + row / SIDE_M) * SIDE_M, TOKENS - SIDE_M) + row % SIDE_M;
    keep(4u * i, qkv[first + query * ROW4 + i % HEAD4]);
  }
  workgroupBarrier();
  var qHigh: array<Left, INNER>;
  var qLow: array<Left, INNER>;
  //#unroll i INNER
  {
    const i = 0u;
    qHigh[i] = subgroupMatrixLoad<Left, row_major>(&high, subgroup * SIDE_M * HEAD_WIDTH + i * SIDE_K, HEAD_WIDTH);
    qLow[i] = subgroupMatrixLoad<Left, row_major>(&low, subgroup * SIDE_M * HEAD_WIDTH + i * SIDE_K, HEAD_WIDTH);
  }
  //#end
  let own = subgroup * SIDE_M * KEYS;
  let mine = own + (lane / SHARERS) * KEYS + (lane % SHARERS) * VECTORS * 4u;
  var sum: array<vec4<f32>, HELD>;
  var largest = -3.0e38;
  var total = 0.0;
  for (var firstKey = 0u; firstKey < TOKENS; firstKey += KEYS) {
    let key0 = min(firstKey, TOKENS - KEYS);
    workgroupBarrier();  // what lies there was used
    for (var i = invocation; i < KEYS * HEAD4; i += WORKGROUP) {
      let at = PLANE4 + first + (key0 + i / HEAD4) * ROW4 + i % HEAD4;
      keep(4u * i, qkv[at]);
      keep(4u * i + KEYS * HEAD_WIDTH, qkv[at + PLANE4]);
    }
    workgroupBarrier();
    //#unroll j KEY_TILES_N
    {
      const j = 0u;
      var products = Result();
      //#unroll i INNER
      {
        const i = 0u;
        let keyLow = subgroupMatrixLoad<Right, col_major>(&low, j * SIDE_N * HEAD_WIDTH + i * SIDE_K, HEAD_WIDTH);
        products = subgroupMatrixMultiplyAccumulate(qHigh[i], keyLow, products);
        let keyHigh = subgroupMatrixLoad<Right, col_major>(&high, j * SIDE_N * HEAD_WIDTH + i * SIDE_K, HEAD_WIDTH);
        products = subgroupMatrixMultiplyAccumulate(qLow[i], keyHigh, products);
        products = subgroupMatrixMultiplyAccumulate(qHigh[i], keyHigh, products);
      }
      //#end
      subgroupMatrixStore<row_major>(&scores, own + j * SIDE_N, products, KEYS);
    }
    //#end
    workgroupBarrier();
    var share: array<vec4<f32>, VECTORS>;
    var larger = largest;
    //#unroll i VECTORS
    {
      const i = 0u;
      let key = vec4<u32>(key0 + (lane % SHARERS) * VECTORS * 4u + i * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
      share[i] = select(vec4<f32>(-3.0e38), scoresAt(mine + i * 4u) * (SCALE / (INPUT_SCALE * INPUT_SCALE)), key >= vec4<u32>(firstKey));
      larger = max(larger, max(max(share[i].x, share[i].y), max(share[i].z, share[i].w)));
    }
    //#end
    for (var step = 1u; step < SHARERS; step *= 2u) { larger = max(larger, subgroupShuffleXor(larger, step)); }
    let shrink = exp(largest - larger);
    largest = larger;
    total *= shrink;
    //#unroll i VECTORS
    {
      const i = 0u;
      let part = exp(share[i] - larger);
      total += dot(part, vec4<f32>(1.0));
      let partHigh = highPart(part * SHARE_SCALE);
      let partLow = part * SHARE_SCALE - partHigh;
      for (var c = 0u; c < 4u; c++) {
        shareHigh[mine + i * 4u + c] = f16(partHigh[c]);
        shareLow[mine + i * 4u + c] = f16(partLow[c]);
      }
    }
    //#end
    workgroupBarrier();
    //#unroll c CHUNKS
    {
      const c = 0u;
      //#unroll j KEY_TILES_N
      {
        const j = 0u;
        var products = Result();
        //#unroll i KEY_TILES_K
        {
          const i = 0u;
          let partHigh = subgroupMatrixLoad<Left, row_major>(&shareHigh, own + i * SIDE_K, KEYS);
          let valueLow = subgroupMatrixLoad<Right, row_major>(&low, (KEYS + i * SIDE_K) * HEAD_WIDTH + c * KEYS + j * SIDE_N, HEAD_WIDTH);
          products = subgroupMatrixMultiplyAccumulate(partHigh, valueLow, products);
          let partLow = subgroupMatrixLoad<Left, row_major>(&shareLow, own + i * SIDE_K, KEYS);
          let valueHigh = subgroupMatrixLoad<Right, row_major>(&high, (KEYS + i * SIDE_K) * HEAD_WIDTH + c * KEYS + j * SIDE_N, HEAD_WIDTH);
          products = subgroupMatrixMultiplyAccumulate(partLow, valueHigh, products);
          products = subgroupMatrixMultiplyAccumulate(partHigh, valueHigh, products);
        }
        //#end
        subgroupMatrixStore<row_major>(&scores, own + j * SIDE_N, products, KEYS);
      }
      //#end
      workgroupBarrier();
      //#unroll i VECTORS
      {
        const i = 0u;
        sum[c * VECTORS + i] = sum[c * VECTORS + i] * shrink + scoresAt(mine + i * 4u);
      }
      //#end
      workgroupBarrier();
    }
    //#end
  }
  for (var step = 1u; step < SHARERS; step *= 2u) { total += subgroupShuffleXor(total, step); }
  let query = query0 + lane / SHARERS;
  if (query < firstQuery) { return; }
  let at = first + query * ROW4 + (lane % SHARERS) * VECTORS;
  //#unroll c CHUNKS
  {
    const c = 0u;
    //#unroll i VECTORS
    {
      const i = 0u;
      y[at + c * KEYS / 4u + i] = sum[c * VECTORS + i] / (total * INPUT_SCALE * SHARE_SCALE);
    }
    //#end
  }
  //#end
}
