// attention_backward.wgsl for the software adapters, on the plan of attention_subgroup.wgsl: one subgroup owns OWN rows of one head (queries, or
// with KEYS keys), everything in registers. The other rows go by in blocks of LANES * OTHERS: first the two dot products, each lane
// holding its own of the other rows and the own rows going round by broadcast; then each lane holds its own columns and the
// shares go round.
enable subgroups;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const LANES: u32 = 4u;  // the subgroup's size
const OWN: u32 = 8u;
const OWN_GROUPS: u32 = 2u;  // OWN / LANES, rounded up
const OTHERS: u32 = 2u;
const LANE_QUADS: u32 = 1u;  // LANES / 4
const VECTORS: u32 = 4u;  // vec4s of a row that a lane holds: HEAD_WIDTH / (4 * LANES), rounded up
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>;  // [SAMPLES, HEADS, TOKENS] lse and delta of each query
@group(0) @binding(3) var<storage, read_write> dqkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

const D4 = HEAD_WIDTH / 4u;
const ROW = HEADS * D4;
const PLANE = SAMPLES * TOKENS * ROW;
//#if KEYS

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

@compute @workgroup_size(LANES)
fn attentionBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.z * TOKENS * ROW + group.y * D4;
  let firstStatistics = (group.z * HEADS + group.y) * TOKENS;
  let own0 = group.x * OWN;
  let columns = min(D4, arrayLength(&qkv));  // known at run time only, so that no compiler unrolls the loop
  var sums: array<vec4<f32>, OWN * VECTORS>;  // dq or dk
  //#if KEYS
  var valueSums: array<vec4<f32>, OWN * VECTORS>;  // dv
  //#endif
  var ownAt: array<u32, OWN_GROUPS>;
  //#unroll g OWN_GROUPS
  {
    const g = 0u;
    ownAt[g] = first + min(own0 + g * LANES + lane, TOKENS - 1u) * ROW;
  }
  //#end
  //#if !KEYS
  var query: array<vec2<f32>, OWN>;
  //#unroll o OWN
  {
    const o = 0u;
    query[o] = statistics[firstStatistics + min(own0 + o, TOKENS - 1u)];
  }
  //#end
  //#endif
  for (var other0 = 0u; other0 < TOKENS; other0 += LANES * OTHERS) {
    var scores: array<f32, OWN * OTHERS>;
    var products: array<f32, OWN * OTHERS>;
    // Set by hand: Dawn gives a variable its zeros at the first turn of a loop only.
    //#unroll o OWN
    {
      const o = 0u;
      //#unroll j OTHERS
      {
        const j = 0u;
        scores[o * OTHERS + j] = 0.0;
        products[o * OTHERS + j] = 0.0;
      }
      //#end
    }
    //#end
    var otherAt: array<u32, OTHERS>;
    //#unroll j OTHERS
    {
      const j = 0u;
      otherAt[j] = first + min(other0 + j * LANES + lane, TOKENS - 1u) * ROW;
    }
    //#end
    for (var d = 0u; d < columns; d++) {
      var ownA: array<vec4<f32>, OWN_GROUPS>;
      var ownB: array<vec4<f32>, OWN_GROUPS>;
      //#unroll g OWN_GROUPS
      {
        const g = 0u;
        ownA[g] = loadOwnA(ownAt[g] + d);
        ownB[g] = loadOwnB(ownAt[g] + d);
      }
      //#end
      var otherA: array<vec4<f32>, OTHERS>;
      var otherB: array<vec4<f32>, OTHERS>;
      //#unroll j OTHERS
      {
        const j = 0u;
        otherA[j] = loadOtherA(otherAt[j] + d);
        otherB[j] = loadOtherB(otherAt[j] + d);
      }
      //#end
      //#unroll e 4
      {
        const e = 0u;
        //#unroll o OWN
        {
          const o = 0u;
          let a = subgroupBroadcast(ownA[o / LANES][e], o % LANES);
          let b = subgroupBroadcast(ownB[o / LANES][e], o % LANES);
          //#unroll j OTHERS
          {
            const j = 0u;
            scores[o * OTHERS + j] = fma(a, otherA[j][e], scores[o * OTHERS + j]);
            products[o * OTHERS + j] = fma(b, otherB[j][e], products[o * OTHERS + j]);
          }
          //#end
        }
        //#end
      }
      //#end
    }
    // From here on `scores` are the shares and `products` the scores' gradients.
    //#unroll j OTHERS
    {
      const j = 0u;
      let other = other0 + j * LANES + lane;
      //#if KEYS
      let stats = statistics[firstStatistics + min(other, TOKENS - 1u)];
      //#endif
      //#unroll o OWN
      {
        const o = 0u;
        //#if !KEYS
        let stats = query[o];
        //#endif
        scores[o * OTHERS + j] = select(0.0, exp(scores[o * OTHERS + j] - stats.x), other < TOKENS);
        products[o * OTHERS + j] = scores[o * OTHERS + j] * (products[o * OTHERS + j] - stats.y);
      }
      //#end
    }
    //#end
    // Four of the others at a time, as in attention_subgroup.wgsl.
    //#unroll j OTHERS
    {
      const j = 0u;
      //#unroll l4 LANE_QUADS
      {
        const l4 = 0u;
        var a: array<vec4<f32>, 4u * VECTORS>;
        //#if KEYS
        var b: array<vec4<f32>, 4u * VECTORS>;
        //#endif
        //#unroll l 4
        {
          const l = 0u;
          let row = first + min(other0 + j * LANES + l4 * 4u + l, TOKENS - 1u) * ROW;
          //#unroll v VECTORS
          {
            const v = 0u;
            let at = row + min(lane + v * LANES, D4 - 1u);
            a[l * VECTORS + v] = loadOtherA(at);
            //#if KEYS
            b[l * VECTORS + v] = loadOtherB(at);
            //#endif
          }
          //#end
        }
        //#end
        //#unroll o OWN
        {
          const o = 0u;
          //#unroll l 4
          {
            const l = 0u;
            let gradient = vec4<f32>(subgroupBroadcast(products[o * OTHERS + j], l4 * 4u + l));
            //#if KEYS
            let share = vec4<f32>(subgroupBroadcast(scores[o * OTHERS + j], l4 * 4u + l));
            //#endif
            //#unroll v VECTORS
            {
              const v = 0u;
              sums[o * VECTORS + v] = fma(gradient, a[l * VECTORS + v], sums[o * VECTORS + v]);
              //#if KEYS
              valueSums[o * VECTORS + v] = fma(share, b[l * VECTORS + v], valueSums[o * VECTORS + v]);
              //#endif
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
  var tile: array<vec4<f32>, OWN * VECTORS>;
  //#if KEYS
  var valueTile: array<vec4<f32>, OWN * VECTORS>;
  //#endif
  //#unroll o OWN
  {
    const o = 0u;
    //#unroll v VECTORS
    {
      const v = 0u;
      tile[o * VECTORS + v] = sums[o * VECTORS + v];
      //#if KEYS
      valueTile[o * VECTORS + v] = valueSums[o * VECTORS + v];
      //#endif
    }
    //#end
  }
  //#end
  let end = min(OWN, TOKENS - own0) * VECTORS;  // known at run time only, so that no compiler unrolls the loop
  for (var i = 0u; i < end; i++) {
    let column = lane + i % VECTORS * LANES;
    let at = first + (own0 + i / VECTORS) * ROW + column;
    if (column >= D4) { continue; }
    //#if KEYS
    dqkv[PLANE + at] = vec4<Act>(tile[i]);
    dqkv[2u * PLANE + at] = vec4<Act>(valueTile[i]);
    //#endif
    //#if !KEYS
    dqkv[at] = vec4<Act>(tile[i]);
    //#endif
  }
}
