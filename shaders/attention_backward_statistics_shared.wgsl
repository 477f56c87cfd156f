// attention_backward_statistics.wgsl for lavapipe's wide vectors, planned like
// attention_shared.wgsl.
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
@group(0) @binding(1) var<storage, read> y: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<Act>>;
// [SAMPLES, HEADS, TOKENS]
@group(0) @binding(3) var<storage, read_write> statistics: array<vec2<f32>>;

const ROW: u32 = HEADS * VECTORS;
const PLANE: u32 = SAMPLES * TOKENS * ROW;
const NONE: f32 = -1.0e38;
const LOG2E: f32 = 1.44269504;
var<workgroup> k_tile: array<vec4<f32>, BLOCK * VECTORS>;

@compute @workgroup_size(WORKGROUP)
fn scoreStatistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = group.z * TOKENS * ROW + group.y * VECTORS;
  // Queries beyond the last one are copies of it and are stored over it.
  var query_of: array<u32, GROUPS>;
  var query: array<vec4<f32>, GROUPS * VECTORS>;
  var delta: array<f32, GROUPS>;
  var row_max: array<f32, GROUPS>;
  var exp_sum: array<f32, GROUPS>;
  //#unroll g GROUPS
  {
    const g = 0u;
    row_max[g] = NONE;
    query_of[g] = min((group.x * GROUPS + g) * WORKGROUP + local, TOKENS - 1u);
    //#unroll v VECTORS
    {
      const v = 0u;
      let at = first + query_of[g] * ROW + v;
      query[g * VECTORS + v] = vec4<f32>(qkv[at]) * LOG2E;  // exponentials have base 2
      delta[g] += dot(vec4<f32>(dy[at]), vec4<f32>(y[at]));
    }
    //#end
  }
  //#end
  for (var kv_tile = 0u; kv_tile < TOKENS; kv_tile += BLOCK) {
    workgroupBarrier();
    for (var i = local; i < BLOCK * VECTORS; i += WORKGROUP) {
      k_tile[i] = vec4<f32>(qkv[PLANE + first + min(kv_tile + i / VECTORS, TOKENS - 1u) * ROW + i % VECTORS]);
    }
    workgroupBarrier();
    let end = min(BLOCK, TOKENS - kv_tile);
    for (var key0 = 0u; key0 < end; key0 += KEYS) {
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
        exp_sum[g] *= exp2(row_max[g] - new_max);
        row_max[g] = new_max;
        //#unroll j KEYS
        {
          const j = 0u;
          exp_sum[g] += exp2(scores[j * GROUPS + g] - new_max);
        }
        //#end
      }
      //#end
    }
  }
  //#unroll g GROUPS
  {
    const g = 0u;
    let lse = (row_max[g] + log2(exp_sum[g])) / LOG2E;
    statistics[(group.z * HEADS + group.y) * TOKENS + query_of[g]] = vec2<f32>(lse, delta[g]);
  }
  //#end
}
