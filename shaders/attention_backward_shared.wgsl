// attention_backward.wgsl for lavapipe's wide vectors, on the plan of attention_shared.wgsl: an invocation owns GROUPS rows of one head
// (queries, or with KEYS keys) and walks over the others, which lie in workgroup memory BLOCK at a time, OTHERS a turn.
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

@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>;  // [SAMPLES, HEADS, TOKENS] lse and delta of each query
@group(0) @binding(3) var<storage, read_write> dqkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

const ROW: u32 = HEADS * VECTORS;
const PLANE: u32 = SAMPLES * TOKENS * ROW;
const LOG2E: f32 = 1.44269504;
var<workgroup> othersA: array<vec4<f32>, BLOCK * VECTORS>;
var<workgroup> othersB: array<vec4<f32>, BLOCK * VECTORS>;
//#if KEYS
var<workgroup> othersStatistics: array<vec2<f32>, BLOCK>;

fn loadOwnA(at: u32) -> vec4<f32> { return vec4<f32>(qkv[PLANE + at]); }
fn loadOwnB(at: u32) -> vec4<f32> { return vec4<f32>(qkv[2u * PLANE + at]); }
fn loadOtherA(at: u32) -> vec4<f32> { return vec4<f32>(qkv[at]); }
fn loadOtherB(at: u32) -> vec4<f32> { return vec4<f32>(dy[at]); }
//#endif
//#if !KEYS

fn loadOwnA(at: u32) -> vec4<f32> { return vec4<f32>(qkv[at]); }
fn loadOwnB(at: u32) -> vec4<f32> { return vec4<f32>(dy[at]); }
fn loadOtherA(at: u32) -> vec4<f32> { return vec4<f32>(qkv[PLANE + at]); }
fn loadOtherB(at: u32) -> vec4<f32> { return vec4<f32>(qkv[2u * PLANE + at]); }
//#endif

@compute @workgroup_size(WORKGROUP)
fn attentionBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) own: u32) {
  let first = group.z * TOKENS * ROW + group.y * VECTORS;
  let firstStatistics = (group.z * HEADS + group.y) * TOKENS;
  // Rows beyond the last one are copies of it and are stored over it.
  var ownAt: array<u32, GROUPS>;
  var ownA: array<vec4<f32>, GROUPS * VECTORS>;
  var ownB: array<vec4<f32>, GROUPS * VECTORS>;
  var sums: array<vec4<f32>, GROUPS * VECTORS>;  // dq or dk
  //#if KEYS
  var valueSums: array<vec4<f32>, GROUPS * VECTORS>;  // dv
  //#endif
  //#if !KEYS
  var ownStatistics: array<vec2<f32>, GROUPS>;
  //#endif
  //#unroll g GROUPS
  {
    const g = 0u;
    let row = min((group.x * GROUPS + g) * WORKGROUP + own, TOKENS - 1u);
    ownAt[g] = first + row * ROW;
    //#if !KEYS
    ownStatistics[g] = statistics[firstStatistics + row] * vec2<f32>(LOG2E, 1.0);
    //#endif
    //#unroll v VECTORS
    {
      const v = 0u;
      ownA[g * VECTORS + v] = loadOwnA(ownAt[g] + v) * LOG2E;  // exponentials are of 2
      ownB[g * VECTORS + v] = loadOwnB(ownAt[g] + v);
    }
    //#end
  }
  //#end
  for (var block = 0u; block < TOKENS; block += BLOCK) {
    workgroupBarrier();
    for (var i = own; i < BLOCK * VECTORS; i += WORKGROUP) {
      let at = first + min(block + i / VECTORS, TOKENS - 1u) * ROW + i % VECTORS;
      othersA[i] = loadOtherA(at);
      othersB[i] = loadOtherB(at);
    }
    //#if KEYS
    for (var i = own; i < BLOCK; i += WORKGROUP) {
      othersStatistics[i] = statistics[firstStatistics + min(block + i, TOKENS - 1u)] * vec2<f32>(LOG2E, 1.0);
    }
    //#endif
    workgroupBarrier();
    let end = min(BLOCK, TOKENS - block);
    for (var other0 = 0u; other0 < end; other0 += OTHERS) {
      // As in attention_shared.wgsl: the compiler has to see that it is small.
      let other = other0 & (BLOCK - 1u);
      let at = other * VECTORS;
      var shares: array<f32, GROUPS * OTHERS>;
      var gradients: array<f32, GROUPS * OTHERS>;  // of the scores
      //#unroll j OTHERS
      {
        const j = 0u;
        // Set by hand: Dawn gives a variable its zeros at the first turn of a loop only.
        //#unroll i GROUPS
        {
          const i = 0u;
          shares[j * GROUPS + i] = 0.0;
          gradients[j * GROUPS + i] = 0.0;
        }
        //#end
        //#unroll v VECTORS
        {
          const v = 0u;
          let a = othersA[at + (j * VECTORS + v)];
          let b = othersB[at + (j * VECTORS + v)];
          //#unroll g GROUPS
          {
            const g = 0u;
            //#unroll e 4
            {
              const e = 0u;
              shares[j * GROUPS + g] = fma(ownA[g * VECTORS + v][e], a[e], shares[j * GROUPS + g]);
              gradients[j * GROUPS + g] = fma(ownB[g * VECTORS + v][e], b[e], gradients[j * GROUPS + g]);
            }
            //#end
          }
          //#end
        }
        //#end
        //#if KEYS
        let stats = othersStatistics[other + j];
        //#endif
        //#unroll g GROUPS
        {
          const g = 0u;
          //#if !KEYS
          let stats = ownStatistics[g];
          //#endif
          shares[j * GROUPS + g] = select(0.0, exp2(shares[j * GROUPS + g] - stats.x), other0 + j < end);
          gradients[j * GROUPS + g] = shares[j * GROUPS + g] * (gradients[j * GROUPS + g] - stats.y);
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
          let a = othersA[at + (j * VECTORS + v)];
          //#if KEYS
          let b = othersB[at + (j * VECTORS + v)];
          //#endif
          //#unroll g GROUPS
          {
            const g = 0u;
            sums[g * VECTORS + v] = fma(vec4<f32>(gradients[j * GROUPS + g]), a, sums[g * VECTORS + v]);
            //#if KEYS
            valueSums[g * VECTORS + v] = fma(vec4<f32>(shares[j * GROUPS + g]), b, valueSums[g * VECTORS + v]);
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
      dqkv[PLANE + ownAt[g] + v] = vec4<Act>(sums[g * VECTORS + v]);
      dqkv[2u * PLANE + ownAt[g] + v] = vec4<Act>(valueSums[g * VECTORS + v]);
      //#endif
      //#if !KEYS
      dqkv[ownAt[g] + v] = vec4<Act>(sums[g * VECTORS + v]);
      //#endif
    }
    //#end
  }
  //#end
}
