// attention.wgsl on a GPU's matrix units, in float16 with float32 scores and sums. A subgroup owns SIDE_M queries and walks over the keys, KEYS at a time: scores
// by matrix products, into workgroup memory, where LANES / SIDE_M lanes share a query's row; their exponentials go back as a
// matrix, whose product with the values is added to what the lanes hold, rescaled by the running maximum (online softmax).
// Where the last queries or keys are not a whole block, the block begins earlier; keys that were seen count nothing, queries that
// were done are not stored again. Built-ins: see linear_matrix.wgsl.
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
const KEYS: u32 = 32u;  // a multiple of SIDE_N, SIDE_K and 4 * SHARERS; also the columns of the values that are added at once
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
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

@group(0) @binding(0) var<storage, read> qkv: array<f16>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f16>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

var<workgroup> scores: array<f32, SUBGROUPS * SIDE_M * KEYS>;  // and the products with the values, KEYS columns at a time
var<workgroup> shares: array<f16, SUBGROUPS * SIDE_M * KEYS>;

fn scoresAt(at: u32) -> vec4<f32> {
  return vec4<f32>(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]);
}

@compute @workgroup_size(WORKGROUP)
fn attention(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  const ROW = HEADS * HEAD_WIDTH;
  const PLANE = SAMPLES * TOKENS * ROW;
  let firstQuery = (group.x * SUBGROUPS + subgroup) * SIDE_M;
  let query0 = min(firstQuery, TOKENS - SIDE_M);
  let first = group.z * TOKENS * ROW + group.y * HEAD_WIDTH;
  var q: array<Left, INNER>;
  //#unroll i INNER
  {
    const i = 0u;
    q[i] = subgroupMatrixLoad<Left, row_major>(&qkv, first + query0 * ROW + i * SIDE_K, ROW);
  }
  //#end
  let own = subgroup * SIDE_M * KEYS;
  let mine = own + (lane / SHARERS) * KEYS + (lane % SHARERS) * VECTORS * 4u;
  var sum: array<vec4<f32>, HELD>;
  var largest = -3.0e38;
  var total = 0.0;
  for (var firstKey = 0u; firstKey < TOKENS; firstKey += KEYS) {
    let key0 = min(firstKey, TOKENS - KEYS);
    let keysAt = PLANE + first + key0 * ROW;
    //#unroll j KEY_TILES_N
    {
      const j = 0u;
      var products = Result();
      //#unroll i INNER
      {
        const i = 0u;
        let keys = subgroupMatrixLoad<Right, col_major>(&qkv, keysAt + j * SIDE_N * ROW + i * SIDE_K, ROW);
        products = subgroupMatrixMultiplyAccumulate(q[i], keys, products);
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
      share[i] = select(vec4<f32>(-3.0e38), scoresAt(mine + i * 4u) * SCALE, key >= vec4<u32>(firstKey));
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
      shares[mine + i * 4u] = f16(part.x);
      shares[mine + i * 4u + 1u] = f16(part.y);
      shares[mine + i * 4u + 2u] = f16(part.z);
      shares[mine + i * 4u + 3u] = f16(part.w);
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
          let part = subgroupMatrixLoad<Left, row_major>(&shares, own + i * SIDE_K, KEYS);
          let values = subgroupMatrixLoad<Right, row_major>(&qkv, keysAt + PLANE + i * SIDE_K * ROW + c * KEYS + j * SIDE_N, ROW);
          products = subgroupMatrixMultiplyAccumulate(part, values, products);
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
  let at = (first + query * ROW) / 4u + (lane % SHARERS) * VECTORS;
  //#unroll c CHUNKS
  {
    const c = 0u;
    //#unroll i VECTORS
    {
      const i = 0u;
      y[at + c * KEYS / 4u + i] = vec4<f16>(sum[c * VECTORS + i] / total);
    }
    //#end
  }
  //#end
}
