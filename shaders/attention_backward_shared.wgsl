// attention_backward.wgsl (the ladder is there) for lavapipe's wide vectors, planned like
// attention_shared.wgsl: an invocation owns GROUPS rows of one head (queries, or with KEYS keys)
// and walks over the others, which lie in workgroup memory BLOCK at a time, OTHERS per iteration.
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const VECTORS: u32 = 16u;  // HEAD_WIDTH / 4
const WORKGROUP: u32 = 64u;
const GROUPS: u32 = 1u;  // rows of an invocation
const OTHERS: u32 = 2u;
const BLOCK: u32 = 32u;  // a power of two, and a multiple of OTHERS
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;
// [SAMPLES, HEADS, TOKENS] lse and delta of each query
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>;
// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(3) var<storage, read_write> dqkv: array<vec4<Act>>;

const ROW: u32 = HEADS * VECTORS;
const PLANE: u32 = SAMPLES * TOKENS * ROW;
const LOG2E: f32 = 1.44269504;
var<workgroup> others_a: array<vec4<f32>, BLOCK * VECTORS>;
var<workgroup> others_b: array<vec4<f32>, BLOCK * VECTORS>;
//#if KEYS
var<workgroup> others_statistics: array<vec2<f32>, BLOCK>;
//#endif

//#include "common/attention_backward_rows.wgsl"

@compute @workgroup_size(WORKGROUP)
fn attentionBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = group.z * TOKENS * ROW + group.y * VECTORS;
  let first_statistics = (group.z * HEADS + group.y) * TOKENS;
  // Rows beyond the last one are copies of it and are stored over it.
  var own_at: array<u32, GROUPS>;
  var own_a: array<vec4<f32>, GROUPS * VECTORS>;
  var own_b: array<vec4<f32>, GROUPS * VECTORS>;
  var acc: array<vec4<f32>, GROUPS * VECTORS>;  // dq or dk
  //#if KEYS
  var v_acc: array<vec4<f32>, GROUPS * VECTORS>;  // dv
  //#endif
  //#if !KEYS
  var own_statistics: array<vec2<f32>, GROUPS>;
  //#endif
  //#unroll g GROUPS
  {
    const g = 0u;
    let row = min((group.x * GROUPS + g) * WORKGROUP + local, TOKENS - 1u);
    own_at[g] = first + row * ROW;
    //#if !KEYS
    own_statistics[g] = statistics[first_statistics + row] * vec2<f32>(LOG2E, 1.0);
    //#endif
    //#unroll v VECTORS
    {
      const v = 0u;
      own_a[g * VECTORS + v] = load_own_a(own_at[g] + v) * LOG2E;  // exponentials have base 2
      own_b[g * VECTORS + v] = load_own_b(own_at[g] + v);
    }
    //#end
  }
  //#end
  for (var kv_tile = 0u; kv_tile < TOKENS; kv_tile += BLOCK) {
    workgroupBarrier();
    for (var i = local; i < BLOCK * VECTORS; i += WORKGROUP) {
      let at = first + min(kv_tile + i / VECTORS, TOKENS - 1u) * ROW + i % VECTORS;
      others_a[i] = load_other_a(at);
      others_b[i] = load_other_b(at);
    }
    //#if KEYS
    for (var i = local; i < BLOCK; i += WORKGROUP) {
      others_statistics[i] = statistics[first_statistics + min(kv_tile + i, TOKENS - 1u)] * vec2<f32>(LOG2E, 1.0);
    }
    //#endif
    workgroupBarrier();
    let end = min(BLOCK, TOKENS - kv_tile);
    for (var other0 = 0u; other0 < end; other0 += OTHERS) {
      // As in attention_shared.wgsl: the compiler must see that it is small.
      let other = other0 & (BLOCK - 1u);
      let at = other * VECTORS;
      var p: array<f32, GROUPS * OTHERS>;
      var ds: array<f32, GROUPS * OTHERS>;  // gradients of the scores
      //#unroll j OTHERS
      {
        const j = 0u;
        // Set explicitly: Dawn zeroes a variable only in the first iteration of a loop.
        //#unroll i GROUPS
        {
          const i = 0u;
          p[j * GROUPS + i] = 0.0;
          ds[j * GROUPS + i] = 0.0;
        }
        //#end
        //#unroll v VECTORS
        {
          const v = 0u;
          let a = others_a[at + (j * VECTORS + v)];
          let b = others_b[at + (j * VECTORS + v)];
          //#unroll g GROUPS
          {
            const g = 0u;
            //#unroll e 4
            {
              const e = 0u;
              p[j * GROUPS + g] = fma(own_a[g * VECTORS + v][e], a[e], p[j * GROUPS + g]);
              ds[j * GROUPS + g] = fma(own_b[g * VECTORS + v][e], b[e], ds[j * GROUPS + g]);
            }
            //#end
          }
          //#end
        }
        //#end
        //#if KEYS
        let stats = others_statistics[other + j];
        //#endif
        //#unroll g GROUPS
        {
          const g = 0u;
          //#if !KEYS
          let stats = own_statistics[g];
          //#endif
          p[j * GROUPS + g] = select(0.0, exp2(p[j * GROUPS + g] - stats.x), other0 + j < end);
          ds[j * GROUPS + g] = p[j * GROUPS + g] * (ds[j * GROUPS + g] - stats.y);
        }
        //#end
      }
      //#end
      //#unroll v VECTORS
      {
        const v = 0u;
        //#unroll j OTHERS
        {
          const j = 0u;
          let a = others_a[at + (j * VECTORS + v)];
          //#if KEYS
          let b = others_b[at + (j * VECTORS + v)];
          //#endif
          //#unroll g GROUPS
          {
            const g = 0u;
            acc[g * VECTORS + v] = fma(vec4<f32>(ds[j * GROUPS + g]), a, acc[g * VECTORS + v]);
            //#if KEYS
            v_acc[g * VECTORS + v] = fma(vec4<f32>(p[j * GROUPS + g]), b, v_acc[g * VECTORS + v]);
            //#endif
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
    //#unroll v VECTORS
    {
      const v = 0u;
      //#if KEYS
      dqkv[PLANE + own_at[g] + v] = vec4<Act>(acc[g * VECTORS + v]);
      dqkv[2u * PLANE + own_at[g] + v] = vec4<Act>(v_acc[g * VECTORS + v]);
      //#endif
      //#if !KEYS
      dqkv[own_at[g] + v] = vec4<Act>(acc[g * VECTORS + v]);
      //#endif
    }
    //#end
  }
  //#end
}
