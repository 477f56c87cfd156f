// attention.wgsl (the ladder is there) for GPUs without matrix units. A workgroup takes
// LANES_M * ROWS queries of a head and walks over the keys, KEYS at a time. The keys lie in
// workgroup memory; then their values take their place.
//
// An invocation makes the scores of ROWS queries and 4 keys, and sums COLUMNS vec4s of the result
// for the same queries. The LANES invocations of a query are neighbours in a subgroup, and find its
// maximum by shuffles. An invocation's keys are LANES apart, so that neighbours read neighbouring
// rows. Its four p lie side by side, and the values in the same order.
enable subgroups;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;  // LANES * COLUMNS * 4
const SCALE: f32 = 1.0;
const LANES: u32 = 16u;  // a power of two, no more than a subgroup
const COLUMNS: u32 = 1u;
const LANES_M: u32 = 8u;
const ROWS: u32 = 4u;
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;

const D4: u32 = HEAD_WIDTH / 4u;
const QUERIES: u32 = LANES_M * ROWS;
const KEYS: u32 = 4u * LANES;
const STRIDE: u32 = D4 + 1u;  // one more than a row has, so that rows begin in different banks
const P_STRIDE: u32 = LANES + 1u;
var<workgroup> q_tile: array<vec4<Act>, QUERIES * STRIDE>;
var<workgroup> kv_tile: array<vec4<Act>, KEYS * STRIDE>;  // keys, then values
var<workgroup> p_tile: array<vec4<f32>, QUERIES * P_STRIDE>;

@compute @workgroup_size(LANES, LANES_M)
fn attention(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) lane: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  const ROW = HEADS * D4;
  const PLANE = SAMPLES * TOKENS * ROW;
  const INVOCATIONS = LANES * LANES_M;
  let query0 = group.x * QUERIES;
  let first = group.z * TOKENS * ROW + group.y * D4;
  for (var i = local; i < QUERIES * D4; i += INVOCATIONS) {
    q_tile[(i / D4) * STRIDE + i % D4] = qkv[first + min(query0 + i / D4, TOKENS - 1u) * ROW + i % D4];
  }
  var acc: array<array<vec4<f32>, COLUMNS>, ROWS>;
  var row_max: array<f32, ROWS>;
  var exp_sum: array<f32, ROWS>;
  //#unroll r ROWS
  {
    const r = 0u;
    row_max[r] = -3.0e38;
  }
  //#end
  for (var key0 = 0u; key0 < TOKENS; key0 += KEYS) {
    for (var i = local; i < KEYS * D4; i += INVOCATIONS) {
      kv_tile[(i / D4) * STRIDE + i % D4] = qkv[PLANE + first + min(key0 + i / D4, TOKENS - 1u) * ROW + i % D4];
    }
    workgroupBarrier();
    var scores: array<vec4<f32>, ROWS>;
    //#unroll r ROWS
    {
      const r = 0u;
      scores[r] = vec4<f32>(0.0);
    }
    //#end
    for (var d = 0u; d < D4; d++) {
      let k0 = vec4<f32>(kv_tile[lane.x * STRIDE + d]);
      let k1 = vec4<f32>(kv_tile[(lane.x + LANES) * STRIDE + d]);
      let k2 = vec4<f32>(kv_tile[(lane.x + 2u * LANES) * STRIDE + d]);
      let k3 = vec4<f32>(kv_tile[(lane.x + 3u * LANES) * STRIDE + d]);
      //#unroll r ROWS
      {
        const r = 0u;
        let q = vec4<f32>(q_tile[(lane.y + r * LANES_M) * STRIDE + d]);
        scores[r] += vec4<f32>(dot(q, k0), dot(q, k1), dot(q, k2), dot(q, k3));
      }
      //#end
    }
    let in_range = vec4<u32>(key0 + lane.x) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES) < vec4<u32>(TOKENS);
    //#unroll r ROWS
    {
      const r = 0u;
      let score = select(vec4<f32>(-3.0e38), scores[r] * SCALE, in_range);
      var new_max = max(max(score.x, score.y), max(score.z, score.w));
      for (var step = 1u; step < LANES; step *= 2u) { new_max = max(new_max, subgroupShuffleXor(new_max, step)); }
      new_max = max(new_max, row_max[r]);
      let rescale = exp(row_max[r] - new_max);
      row_max[r] = new_max;
      let p = exp(score - new_max);
      exp_sum[r] = exp_sum[r] * rescale + dot(p, vec4<f32>(1.0));
      //#unroll c COLUMNS
      {
        const c = 0u;
        acc[r][c] *= rescale;
      }
      //#end
      p_tile[(lane.y + r * LANES_M) * P_STRIDE + lane.x] = p;
    }
    //#end
    workgroupBarrier();  // the keys were used
    for (var i = local; i < KEYS * D4; i += INVOCATIONS) {
      let key = i / D4;
      let row = (key % LANES) * 4u + key / LANES;
      kv_tile[row * STRIDE + i % D4] = qkv[2u * PLANE + first + min(key0 + key, TOKENS - 1u) * ROW + i % D4];
    }
    workgroupBarrier();
    for (var k = 0u; k < LANES; k++) {
      //#unroll c COLUMNS
      {
        const c = 0u;
        let at = k * 4u * STRIDE + lane.x + c * LANES;
        let v0 = vec4<f32>(kv_tile[at]);
        let v1 = vec4<f32>(kv_tile[at + STRIDE]);
        let v2 = vec4<f32>(kv_tile[at + 2u * STRIDE]);
        let v3 = vec4<f32>(kv_tile[at + 3u * STRIDE]);
        //#unroll r ROWS
        {
          const r = 0u;
          let p = p_tile[(lane.y + r * LANES_M) * P_STRIDE + k];
          acc[r][c] += p.x * v0 + p.y * v1 + p.z * v2 + p.w * v3;
        }
        //#end
      }
      //#end
    }
    workgroupBarrier();  // the values were used
  }
  //#unroll r ROWS
  {
    const r = 0u;
    var row_sum = exp_sum[r];
    for (var step = 1u; step < LANES; step *= 2u) { row_sum += subgroupShuffleXor(row_sum, step); }
    let query = query0 + lane.y + r * LANES_M;
    if (query < TOKENS) {
      //#unroll c COLUMNS
      {
        const c = 0u;
        y[first + query * ROW + lane.x + c * LANES] = vec4<Act>(acc[r][c] / row_sum);
      }
      //#end
    }
  }
  //#end
}
