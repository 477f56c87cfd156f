// attention.wgsl for the software adapters, on the plan of linear_subgroup.wgsl: one subgroup makes QUERIES queries of one head, everything in
// registers. Keys go by in blocks of LANES * KEYS: first the scores, each lane holding its own keys' and the queries going round
// by broadcast; then the running maximum; then the values, each lane holding its own columns and the shares going round.
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

@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

fn subgroupMaximum(value: f32) -> f32 {
  var result = value;
  for (var step = 1u; step < LANES; step *= 2u) { result = max(result, subgroupShuffleXor(result, step)); }
  return result;
}

fn subgroupSum(value: f32) -> f32 {
  var result = value;
  for (var step = 1u; step < LANES; step *= 2u) { result += subgroupShuffleXor(result, step); }
  return result;
}

@compute @workgroup_size(LANES)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const D4 = HEAD_WIDTH / 4u;
  const ROW = HEADS * D4;
  const PLANE = SAMPLES * TOKENS * ROW;
  const NONE = -3.0e38;
  let first = group.z * TOKENS * ROW + group.y * D4;
  let query0 = group.x * QUERIES;
  var sums: array<vec4<f32>, QUERIES * VECTORS>;
  var largest: array<f32, QUERIES>;
  var total: array<f32, QUERIES>;
  //#unroll q QUERIES
  {
    const q = 0u;
    largest[q] = NONE;
  }
  //#end
  var queryAt: array<u32, QUERY_GROUPS>;
  //#unroll g QUERY_GROUPS
  {
    const g = 0u;
    queryAt[g] = first + min(query0 + g * LANES + lane, TOKENS - 1u) * ROW;
  }
  //#end
  for (var block = 0u; block < (TOKENS + LANES * KEYS - 1u) / (LANES * KEYS); block++) {
    let key0 = block * LANES * KEYS;
    var scores: array<f32, QUERIES * KEYS>;
    // Set by hand: Dawn gives a variable its zeros at the first turn of a loop only.
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
    var keyAt: array<u32, KEYS>;
    //#unroll j KEYS
    {
      const j = 0u;
      keyAt[j] = PLANE + first + min(key0 + j * LANES + lane, TOKENS - 1u) * ROW;
    }
    //#end
    for (var d = 0u; d < D4; d++) {
      var query: array<vec4<f32>, QUERY_GROUPS>;
      //#unroll g QUERY_GROUPS
      {
        const g = 0u;
        query[g] = vec4<f32>(qkv[queryAt[g] + d]);
      }
      //#end
      var key: array<vec4<f32>, KEYS>;
      //#unroll j KEYS
      {
        const j = 0u;
        key[j] = vec4<f32>(qkv[keyAt[j] + d]);
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
      var best = largest[q];
      //#unroll j KEYS
      {
        const j = 0u;
        scores[q * KEYS + j] = select(NONE, scores[q * KEYS + j], key0 + j * LANES + lane < TOKENS);
        best = max(best, scores[q * KEYS + j]);
      }
      //#end
      best = subgroupMaximum(best);
      let shrink = exp(largest[q] - best);
      largest[q] = best;
      total[q] *= shrink;
      //#unroll j KEYS
      {
        const j = 0u;
        scores[q * KEYS + j] = exp(scores[q * KEYS + j] - best);
        total[q] += scores[q * KEYS + j];
      }
      //#end
      //#unroll v VECTORS
      {
        const v = 0u;
        sums[q * VECTORS + v] *= shrink;
      }
      //#end
    }
    //#end
    // Four keys at a time: a query's sums, of which there are more than registers, are taken up and put down once for them.
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
          let valueAt = 2u * PLANE + first + min(key0 + j * LANES + l4 * 4u + l, TOKENS - 1u) * ROW + lane;
          //#unroll v VECTORS
          {
            const v = 0u;
            value[l * VECTORS + v] = vec4<f32>(qkv[valueAt + v * LANES]);
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
            let share = vec4<f32>(subgroupBroadcast(scores[q * KEYS + j], l4 * 4u + l));
            //#unroll v VECTORS
            {
              const v = 0u;
              sums[q * VECTORS + v] = fma(share, value[l * VECTORS + v], sums[q * VECTORS + v]);
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
    let scale = 1.0 / subgroupSum(total[q]);
    //#unroll v VECTORS
    {
      const v = 0u;
      tile[q * VECTORS + v] = sums[q * VECTORS + v] * scale;
    }
    //#end
  }
  //#end
  let end = min(QUERIES, TOKENS - query0) * VECTORS;  // known at run time only, so that no compiler unrolls the loop
  for (var i = 0u; i < end; i++) {
    y[first + (query0 + i / VECTORS) * ROW + lane + (i % VECTORS) * LANES] = vec4<Act>(tile[i]);
  }
}
