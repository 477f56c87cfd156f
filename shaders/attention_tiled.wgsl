// attention.wgsl for GPUs without matrix units: a workgroup takes LANES_M * ROWS queries of a head and walks over the keys, KEYS at a time, which lie in workgroup
// memory and then make room for their values. An invocation makes the scores of ROWS queries and 4 keys, and sums COLUMNS vec4s of the
// result for the same queries; the LANES invocations of a query are neighbours in a subgroup, and agree by shuffles on its
// maximum (online softmax). Keys LANES apart are one invocation's, so that neighbours read neighbouring rows; their shares lie side
// by side, and the values in the same order.
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

@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

const D4: u32 = HEAD_WIDTH / 4u;
const QUERIES: u32 = LANES_M * ROWS;
const KEYS: u32 = 4u * LANES;
const STRIDE: u32 = D4 + 1u;  // one more than it holds, so that rows do not all begin in the same bank
const SHARE_STRIDE: u32 = LANES + 1u;
var<workgroup> queries: array<vec4<Act>, QUERIES * STRIDE>;
var<workgroup> block: array<vec4<Act>, KEYS * STRIDE>;  // keys, then values
var<workgroup> shares: array<vec4<f32>, QUERIES * SHARE_STRIDE>;

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
    queries[(i / D4) * STRIDE + i % D4] = qkv[first + min(query0 + i / D4, TOKENS - 1u) * ROW + i % D4];
  }
  var sums: array<array<vec4<f32>, COLUMNS>, ROWS>;
  var largest: array<f32, ROWS>;
  var total: array<f32, ROWS>;
  //#unroll r ROWS
  {
    const r = 0u;
    largest[r] = -3.0e38;
  }
  //#end
  for (var key0 = 0u; key0 < TOKENS; key0 += KEYS) {
    for (var i = local; i < KEYS * D4; i += INVOCATIONS) {
      block[(i / D4) * STRIDE + i % D4] = qkv[PLANE + first + min(key0 + i / D4, TOKENS - 1u) * ROW + i % D4];
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
      let k0 = vec4<f32>(block[lane.x * STRIDE + d]);
      let k1 = vec4<f32>(block[(lane.x + LANES) * STRIDE + d]);
      let k2 = vec4<f32>(block[(lane.x + 2u * LANES) * STRIDE + d]);
      let k3 = vec4<f32>(block[(lane.x + 3u * LANES) * STRIDE + d]);
      //#unroll r ROWS
      {
        const r = 0u;
        let q = vec4<f32>(queries[(lane.y + r * LANES_M) * STRIDE + d]);
        scores[r] += vec4<f32>(dot(q, k0), dot(q, k1), dot(q, k2), dot(q, k3));
      }
      //#end
    }
    let there = vec4<u32>(key0 + lane.x) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES) < vec4<u32>(TOKENS);
    //#unroll r ROWS
    {
      const r = 0u;
      let score = select(vec4<f32>(-3.0e38), scores[r] * SCALE, there);
      var larger = max(max(score.x, score.y), max(score.z, score.w));
      for (var step = 1u; step < LANES; step *= 2u) { larger = max(larger, subgroupShuffleXor(larger, step)); }
      larger = max(larger, largest[r]);
      let shrink = exp(largest[r] - larger);
      largest[r] = larger;
      let share = exp(score - larger);
      total[r] = total[r] * shrink + dot(share, vec4<f32>(1.0));
      //#unroll c COLUMNS
      {
        const c = 0u;
        sums[r][c] *= shrink;
      }
      //#end
      shares[(lane.y + r * LANES_M) * SHARE_STRIDE + lane.x] = share;
    }
    //#end
    workgroupBarrier();  // the keys were used
    for (var i = local; i < KEYS * D4; i += INVOCATIONS) {
      let key = i / D4;
      let row = (key % LANES) * 4u + key / LANES;
      block[row * STRIDE + i % D4] = qkv[2u * PLANE + first + min(key0 + key, TOKENS - 1u) * ROW + i % D4];
    }
    workgroupBarrier();
    for (var k = 0u; k < LANES; k++) {
      //#unroll c COLUMNS
      {
        const c = 0u;
        let at = k * 4u * STRIDE + lane.x + c * LANES;
        let v0 = vec4<f32>(block[at]);
        let v1 = vec4<f32>(block[at + STRIDE]);
        let v2 = vec4<f32>(block[at + 2u * STRIDE]);
        let v3 = vec4<f32>(block[at + 3u * STRIDE]);
        //#unroll r ROWS
        {
          const r = 0u;
          let share = shares[(lane.y + r * LANES_M) * SHARE_STRIDE + k];
          sums[r][c] += share.x * v0 + share.y * v1 + share.z * v2 + share.w * v3;
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
    var all = total[r];
    for (var step = 1u; step < LANES; step *= 2u) { all += subgroupShuffleXor(all, step); }
    let query = query0 + lane.y + r * LANES_M;
    if (query < TOKENS) {
      //#unroll c COLUMNS
      {
        const c = 0u;
        y[first + query * ROW + lane.x + c * LANES] = vec4<Act>(sums[r][c] / all);
      }
      //#end
    }
  }
  //#end
}
