// attention.wgsl (the ladder is there) for the software adapters, planned like
// linear_subgroup.wgsl: one subgroup makes QUERIES queries of one head, all in registers. Keys come
// in blocks of LANES * KEYS:
// 1. Scores: each lane holds its own keys, and the queries are broadcast.
// 2. The running maximum.
// 3. Values: each lane holds its own columns, and p is broadcast.
enable subgroups;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const LANES: u32 = 4u;  // the subgroup's size
const QUERIES: u32 = 8u;
const QUERY_GROUPS: u32 = 2u;  // QUERIES / LANES, rounded up
const KEYS: u32 = 4u;
const LANE_QUADS: u32 = 1u;  // LANES / 4
const VECTORS: u32 = 4u;  // HEAD_WIDTH / (4 * LANES): vec4s of a value row that a lane holds
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;

//#include "common/subgroup_reduce.wgsl"

@compute @workgroup_size(LANES)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const D4 = HEAD_WIDTH / 4u;
  const ROW = HEADS * D4;
  const PLANE = SAMPLES * TOKENS * ROW;
  const NONE = -3.0e38;
  let first = group.z * TOKENS * ROW + group.y * D4;
  let query0 = group.x * QUERIES;
  var acc: array<vec4<f32>, QUERIES * VECTORS>;
  var row_max: array<f32, QUERIES>;
  var exp_sum: array<f32, QUERIES>;
  //#unroll q QUERIES
  {
    const q = 0u;
    row_max[q] = NONE;
  }
  //#end
  var query_at: array<u32, QUERY_GROUPS>;
  //#unroll g QUERY_GROUPS
  {
    const g = 0u;
    query_at[g] = first + min(query0 + g * LANES + lane, TOKENS - 1u) * ROW;
  }
  //#end
  for (var kv_tile = 0u; kv_tile < (TOKENS + LANES * KEYS - 1u) / (LANES * KEYS); kv_tile++) {
    let key0 = kv_tile * LANES * KEYS;
    var scores: array<f32, QUERIES * KEYS>;
    // Set explicitly: Dawn zeroes a variable only in the first iteration of a loop.
    //#unroll q QUERIES
    {
      const q = 0u;
      //#unroll j KEYS
      {
        const j = 0u;
        scores[q * KEYS + j] = 0.0;
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
    for (var d = 0u; d < D4; d++) {
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
      //#unroll q QUERIES
      {
        const q = 0u;
        //#unroll e 4
        {
          const e = 0u;
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
      new_max = subgroup_max(new_max);
      let rescale = exp(row_max[q] - new_max);
      row_max[q] = new_max;
      exp_sum[q] *= rescale;
      //#unroll j KEYS
      {
        const j = 0u;
        scores[q * KEYS + j] = exp(scores[q * KEYS + j] - new_max);
        exp_sum[q] += scores[q * KEYS + j];
      }
      //#end
      //#unroll v VECTORS
      {
        const v = 0u;
        acc[q * VECTORS + v] *= rescale;
      }
      //#end
    }
    //#end
    // Four keys at a time: registers do not hold the sums of all queries, so a query's sums are
    // loaded and stored once for the four.
    //#unroll j KEYS
    {
      const j = 0u;
      //#unroll l4 LANE_QUADS
      {
        const l4 = 0u;
        var value: array<vec4<f32>, 4u * VECTORS>;
        //#unroll l 4
        {
          const l = 0u;
          let value_at = 2u * PLANE + first + min(key0 + j * LANES + l4 * 4u + l, TOKENS - 1u) * ROW + lane;
          //#unroll v VECTORS
          {
            const v = 0u;
            value[l * VECTORS + v] = vec4<f32>(qkv[value_at + v * LANES]);
          }
          //#end
        }
        //#end
        //#unroll q QUERIES
        {
          const q = 0u;
          //#unroll l 4
          {
            const l = 0u;
            let p = vec4<f32>(subgroupBroadcast(scores[q * KEYS + j], l4 * 4u + l));
            //#unroll v VECTORS
            {
              const v = 0u;
              acc[q * VECTORS + v] = fma(p, value[l * VECTORS + v], acc[q * VECTORS + v]);
            }
            //#end
          }
          //#end
        }
        //#end
      }
      //#end
    }
    //#end
  }
  var tile: array<vec4<f32>, QUERIES * VECTORS>;
  //#unroll q QUERIES
  {
    const q = 0u;
    let inv_exp_sum = 1.0 / subgroup_sum(exp_sum[q]);
    //#unroll v VECTORS
    {
      const v = 0u;
      tile[q * VECTORS + v] = acc[q * VECTORS + v] * inv_exp_sum;
    }
    //#end
  }
  //#end
  // known only at run time, so that no compiler unrolls the loop
  let end = min(QUERIES, TOKENS - query0) * VECTORS;
  for (var i = 0u; i < end; i++) {
    y[first + (query0 + i / VECTORS) * ROW + lane + (i % VECTORS) * LANES] = vec4<Act>(tile[i]);
  }
}
