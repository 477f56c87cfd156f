// attention.wgsl for lavapipe's wide vectors. An invocation owns GROUPS queries and walks over the keys alone: nothing crosses lanes, which is
// dear with 16 of them, and heads may have any width. Keys and values lie in workgroup memory, BLOCK at a time. There every invocation reads
// the same address, which newer lavapipes load once for a whole subgroup. KEYS keys a turn, so that a query's sums are taken up once for them.
//
// Ladder (201 tokens, heads of 32, one core; GFLOP/s): attention.wgsl 15; attention_subgroup.wgsl with two columns a lane 18; this with one
// query an invocation 21, with two 26; with indices that the compiler sees to be small 31.
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

@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

const ROW: u32 = HEADS * VECTORS;
const PLANE: u32 = SAMPLES * TOKENS * ROW;
const NONE: f32 = -1.0e38;
const LOG2E: f32 = 1.44269504;
var<workgroup> keys: array<vec4<f32>, BLOCK * VECTORS>;
var<workgroup> values: array<vec4<f32>, BLOCK * VECTORS>;

@compute @workgroup_size(WORKGROUP)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) own: u32) {
  let first = group.z * TOKENS * ROW + group.y * VECTORS;
  // Queries beyond the last one are copies of it and are stored over it.
  var queryAt: array<u32, GROUPS>;
  var query: array<vec4<f32>, GROUPS * VECTORS>;
  var sums: array<vec4<f32>, GROUPS * VECTORS>;
  var row_max: array<f32, GROUPS>;
  var exp_sum: array<f32, GROUPS>;
  //#unroll g GROUPS
  {
    const g = 0u;
    row_max[g] = NONE;
    queryAt[g] = first + min((group.x * GROUPS + g) * WORKGROUP + own, TOKENS - 1u) * ROW;
    //#unroll v VECTORS
    {
      const v = 0u;
      query[g * VECTORS + v] = vec4<f32>(qkv[queryAt[g] + v]) * LOG2E;  // exponentials are of 2
    }
    //#end
  }
  //#end
  for (var block = 0u; block < TOKENS; block += BLOCK) {
    workgroupBarrier();
    for (var i = own; i < BLOCK * VECTORS; i += WORKGROUP) {
      let at = PLANE + first + min(block + i / VECTORS, TOKENS - 1u) * ROW + i % VECTORS;
      keys[i] = vec4<f32>(qkv[at]);
      values[i] = vec4<f32>(qkv[at + PLANE]);
    }
    workgroupBarrier();
    let end = min(BLOCK, TOKENS - block);
    for (var key0 = 0u; key0 < end; key0 += KEYS) {
      // key0, but so that the compiler sees that it is small: half of the tests of each address fall away.
      let at = (key0 & (BLOCK - 1u)) * VECTORS;
      var scores: array<f32, GROUPS * KEYS>;
      //#unroll j KEYS
      {
        const j = 0u;
        // Set by hand: Dawn gives a variable its zeros at the first turn of a loop only.
        //#unroll i GROUPS
        {
          const i = 0u;
          scores[j * GROUPS + i] = 0.0;
        }
        //#end
        //#unroll v VECTORS
        {
          const v = 0u;
          let key = keys[at + (j * VECTORS + v)];
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
        var best = row_max[g];
        //#unroll j KEYS
        {
          const j = 0u;
          scores[j * GROUPS + g] = select(NONE, scores[j * GROUPS + g], key0 + j < end);
          best = max(best, scores[j * GROUPS + g]);
        }
        //#end
        let shrink = exp2(row_max[g] - best);
        row_max[g] = best;
        exp_sum[g] *= shrink;
        //#unroll j KEYS
        {
          const j = 0u;
          scores[j * GROUPS + g] = exp2(scores[j * GROUPS + g] - best);
          exp_sum[g] += scores[j * GROUPS + g];
        }
        //#end
        //#unroll v VECTORS
        {
          const v = 0u;
          sums[g * VECTORS + v] *= shrink;
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
          let value = values[at + (j * VECTORS + v)];
          //#unroll g GROUPS
          {
            const g = 0u;
            sums[g * VECTORS + v] = fma(vec4<f32>(scores[j * GROUPS + g]), value, sums[g * VECTORS + v]);
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
    let scale = 1.0 / exp_sum[g];
    //#unroll v VECTORS
    {
      const v = 0u;
      y[queryAt[g] + v] = vec4<Act>(sums[g * VECTORS + v] * scale);
    }
    //#end
  }
  //#end
}
