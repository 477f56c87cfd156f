// attention.wgsl (the ladder is there) for lavapipe's wide vectors. An invocation owns GROUPS
// queries and walks over the keys alone: nothing crosses lanes, which is slow with 16 of them, and
// heads may have any width. Keys and values lie in workgroup memory, BLOCK at a time. All
// invocations read the same address there, which newer lavapipes load once per subgroup. KEYS keys
// per iteration: a query's sums are loaded and stored once for them.
//
// Steps on one core, lavapipe, 201 tokens, heads of 32, in GFLOP/s: attention.wgsl 15;
// attention_subgroup.wgsl with two columns per lane 18; this file with one query per invocation 21,
// with two 26; with indices that the compiler sees to be small 31.
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const VECTORS: u32 = 16u;  // HEAD_WIDTH / 4
const WORKGROUP: u32 = 64u;
const GROUPS: u32 = 1u;  // queries of an invocation
const KEYS: u32 = 2u;
const BLOCK: u32 = 32u;  // a power of two, and a multiple of KEYS
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;

const ROW: u32 = HEADS * VECTORS;
const PLANE: u32 = SAMPLES * TOKENS * ROW;
const NONE: f32 = -1.0e38;
const LOG2E: f32 = 1.44269504;
var<workgroup> k_tile: array<vec4<f32>, BLOCK * VECTORS>;
var<workgroup> v_tile: array<vec4<f32>, BLOCK * VECTORS>;

@compute @workgroup_size(WORKGROUP)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = group.z * TOKENS * ROW + group.y * VECTORS;
  // Queries beyond the last one are copies of it and are stored over it.
  var query_at: array<u32, GROUPS>;
  var query: array<vec4<f32>, GROUPS * VECTORS>;
  var acc: array<vec4<f32>, GROUPS * VECTORS>;
  var row_max: array<f32, GROUPS>;
  var exp_sum: array<f32, GROUPS>;
  //#unroll g GROUPS
  {
    const g = 0u;
    row_max[g] = NONE;
    query_at[g] = first + min((group.x * GROUPS + g) * WORKGROUP + local, TOKENS - 1u) * ROW;
    //#unroll v VECTORS
    {
      const v = 0u;
      query[g * VECTORS + v] = vec4<f32>(qkv[query_at[g] + v]) * LOG2E;  // exponentials have base 2
    }
    //#end
  }
  //#end
  for (var kv_tile = 0u; kv_tile < TOKENS; kv_tile += BLOCK) {
    workgroupBarrier();
    for (var i = local; i < BLOCK * VECTORS; i += WORKGROUP) {
      let at = PLANE + first + min(kv_tile + i / VECTORS, TOKENS - 1u) * ROW + i % VECTORS;
      k_tile[i] = vec4<f32>(qkv[at]);
      v_tile[i] = vec4<f32>(qkv[at + PLANE]);
    }
    workgroupBarrier();
    let end = min(BLOCK, TOKENS - kv_tile);
    for (var key0 = 0u; key0 < end; key0 += KEYS) {
      // key0; but now the compiler sees that it is small, and drops half of the checks of each
      // address.
      let at = (key0 & (BLOCK - 1u)) * VECTORS;
      var scores: array<f32, GROUPS * KEYS>;
      //#unroll j KEYS
      {
        const j = 0u;
        // Set explicitly: Dawn zeroes a variable only in the first iteration of a loop.
        //#unroll i GROUPS
        {
          const i = 0u;
          scores[j * GROUPS + i] = 0.0;
        }
        //#end
        //#unroll v VECTORS
        {
          const v = 0u;
          let key = k_tile[at + (j * VECTORS + v)];
          //#unroll g GROUPS
          {
            const g = 0u;
            //#unroll e 4
            {
              const e = 0u;
              scores[j * GROUPS + g] = fma(query[g * VECTORS + v][e], key[e], scores[j * GROUPS + g]);
            }
            //#end
          }
          //#end
        }
        //#end
      }
      //#end
      //#unroll g GROUPS
      {
        const g = 0u;
        var new_max = row_max[g];
        //#unroll j KEYS
        {
          const j = 0u;
          scores[j * GROUPS + g] = select(NONE, scores[j * GROUPS + g], key0 + j < end);
          new_max = max(new_max, scores[j * GROUPS + g]);
        }
        //#end
        let rescale = exp2(row_max[g] - new_max);
        row_max[g] = new_max;
        exp_sum[g] *= rescale;
        //#unroll j KEYS
        {
          const j = 0u;
          scores[j * GROUPS + g] = exp2(scores[j * GROUPS + g] - new_max);
          exp_sum[g] += scores[j * GROUPS + g];
        }
        //#end
        //#unroll v VECTORS
        {
          const v = 0u;
          acc[g * VECTORS + v] *= rescale;
        }
        //#end
      }
      //#end
      //#unroll v VECTORS
      {
        const v = 0u;
        //#unroll j KEYS
        {
          const j = 0u;
          let value = v_tile[at + (j * VECTORS + v)];
          //#unroll g GROUPS
          {
            const g = 0u;
            acc[g * VECTORS + v] = fma(vec4<f32>(scores[j * GROUPS + g]), value, acc[g * VECTORS + v]);
          }
          //#end
        }
        //#end
      }
      //#end
    }
  }
  //#unroll g GROUPS
  {
    const g = 0u;
    let inv_exp_sum = 1.0 / exp_sum[g];
    //#unroll v VECTORS
    {
      const v = 0u;
      y[query_at[g] + v] = vec4<Act>(acc[g * VECTORS + v] * inv_exp_sum);
    }
    //#end
  }
  //#end
}
