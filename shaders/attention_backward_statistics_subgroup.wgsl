// attention_backward_statistics.wgsl for the software adapters, planned like
// attention_subgroup.wgsl: one subgroup takes QUERIES queries of one head; each lane holds its own
// keys, and the queries are broadcast. Each lane keeps the maximum and the sum of its own keys'
// exponentials; they are combined at the end.
enable subgroups;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const LANES: u32 = 4u;  // the subgroup's size
const QUERIES: u32 = 8u;
const QUERY_GROUPS: u32 = 2u;  // QUERIES / LANES, rounded up
const KEYS: u32 = 4u;
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> y: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<Act>>;
// [SAMPLES, HEADS, TOKENS]
@group(0) @binding(3) var<storage, read_write> statistics: array<vec2<f32>>;

const NONE = -3.0e38;
const D4 = HEAD_WIDTH / 4u;
const ROW = HEADS * D4;
const PLANE = SAMPLES * TOKENS * ROW;

//#include "common/subgroup_reduce.wgsl"

@compute @workgroup_size(LANES)
fn scoreStatistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.z * TOKENS * ROW + group.y * D4;
  let query0 = group.x * QUERIES;
  // known only at run time, so that no compiler unrolls the loops
  let columns = min(D4, arrayLength(&qkv));
  var row_max: array<f32, QUERIES>;
  var exp_sum: array<f32, QUERIES>;
  //#unroll q QUERIES
  {
    const q = 0u;
    row_max[q] = NONE;
  }
  //#end
  var query_at: array<u32, QUERY_GROUPS>;
  var delta: array<f32, QUERY_GROUPS>;
  //#unroll g QUERY_GROUPS
  {
    const g = 0u;
    query_at[g] = first + min(query0 + g * LANES + lane, TOKENS - 1u) * ROW;
    for (var d = 0u; d < columns; d++) { delta[g] += dot(vec4<f32>(dy[query_at[g] + d]), vec4<f32>(y[query_at[g] + d])); }
  }
  //#end
  for (var key0 = 0u; key0 < TOKENS; key0 += LANES * KEYS) {
    var scores: array<f32, QUERIES * KEYS>;
    // Set explicitly: Dawn zeroes a variable only in the first iteration of a loop.
    //#unroll i QUERIES
    {
      const i = 0u;
      //#unroll j KEYS
      {
        const j = 0u;
        scores[i * KEYS + j] = 0.0;
      }
      //#end
    }
    //#end
    var key_at: array<u32, KEYS>;
    //#unroll j KEYS
    {
      const j = 0u;
      key_at[j] = PLANE + first + min(key0 + j * LANES + lane, TOKENS - 1u) * ROW;
    }
    //#end
    for (var d = 0u; d < columns; d++) {
      var query: array<vec4<f32>, QUERY_GROUPS>;
      //#unroll g QUERY_GROUPS
      {
        const g = 0u;
        query[g] = vec4<f32>(qkv[query_at[g] + d]);
      }
      //#end
      var key: array<vec4<f32>, KEYS>;
      //#unroll j KEYS
      {
        const j = 0u;
        key[j] = vec4<f32>(qkv[key_at[j] + d]);
      }
      //#end
      //#unroll e 4
      {
        const e = 0u;
        //#unroll q QUERIES
        {
          const q = 0u;
          let value = subgroupBroadcast(query[q / LANES][e], q % LANES);
          //#unroll j KEYS
          {
            const j = 0u;
            scores[q * KEYS + j] = fma(value, key[j][e], scores[q * KEYS + j]);
          }
          //#end
        }
        //#end
      }
      //#end
    }
    //#unroll q QUERIES
    {
      const q = 0u;
      var new_max = row_max[q];
      //#unroll j KEYS
      {
        const j = 0u;
        scores[q * KEYS + j] = select(NONE, scores[q * KEYS + j], key0 + j * LANES + lane < TOKENS);
        new_max = max(new_max, scores[q * KEYS + j]);
      }
      //#end
      exp_sum[q] *= exp(row_max[q] - new_max);
      row_max[q] = new_max;
      //#unroll j KEYS
      {
        const j = 0u;
        exp_sum[q] += exp(scores[q * KEYS + j] - new_max);
      }
      //#end
    }
    //#end
  }
  //#unroll q QUERIES
  {
    const q = 0u;
    let new_max = subgroup_max(row_max[q]);
    let lse = new_max + log(subgroup_sum(exp_sum[q] * exp(row_max[q] - new_max)));
    if (lane == q % LANES && query0 + q < TOKENS) {
      statistics[(group.z * HEADS + group.y) * TOKENS + query0 + q] = vec2<f32>(lse, delta[q / LANES]);
    }
  }
  //#end
}
