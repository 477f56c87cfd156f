// attention_backward.wgsl (the ladder is there) for the software adapters, planned like
// attention_subgroup.wgsl: one subgroup owns OWN rows of one head (queries, or with KEYS keys), all
// in registers. The other rows come in blocks of LANES * OTHERS. First the two dot products: each
// lane holds its own of the other rows, and the own rows are broadcast. Then each lane holds its
// own columns, and p and ds are broadcast.
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

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;
// [SAMPLES, HEADS, TOKENS] lse and delta of each query
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>;
// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(3) var<storage, read_write> dqkv: array<vec4<Act>>;

const D4 = HEAD_WIDTH / 4u;
const ROW = HEADS * D4;
const PLANE = SAMPLES * TOKENS * ROW;

//#include "common/attention_backward_rows.wgsl"

@compute @workgroup_size(LANES)
fn attentionBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.z * TOKENS * ROW + group.y * D4;
  let first_statistics = (group.z * HEADS + group.y) * TOKENS;
  let own0 = group.x * OWN;
  // known only at run time, so that no compiler unrolls the loop
  let columns = min(D4, arrayLength(&qkv));
  var acc: array<vec4<f32>, OWN * VECTORS>;  // dq or dk
  //#if KEYS
  var v_acc: array<vec4<f32>, OWN * VECTORS>;  // dv
  //#endif
  var own_at: array<u32, OWN_GROUPS>;
  //#unroll g OWN_GROUPS
  {
    const g = 0u;
    own_at[g] = first + min(own0 + g * LANES + lane, TOKENS - 1u) * ROW;
  }
  //#end
  //#if !KEYS
  var query: array<vec2<f32>, OWN>;
  //#unroll o OWN
  {
    const o = 0u;
    query[o] = statistics[first_statistics + min(own0 + o, TOKENS - 1u)];
  }
  //#end
  //#endif
  for (var other0 = 0u; other0 < TOKENS; other0 += LANES * OTHERS) {
    var scores: array<f32, OWN * OTHERS>;
    var dp: array<f32, OWN * OTHERS>;
    // Set explicitly: Dawn zeroes a variable only in the first iteration of a loop.
    //#unroll o OWN
    {
      const o = 0u;
      //#unroll j OTHERS
      {
        const j = 0u;
        scores[o * OTHERS + j] = 0.0;
        dp[o * OTHERS + j] = 0.0;
      }
      //#end
    }
    //#end
    var other_at: array<u32, OTHERS>;
    //#unroll j OTHERS
    {
      const j = 0u;
      other_at[j] = first + min(other0 + j * LANES + lane, TOKENS - 1u) * ROW;
    }
    //#end
    for (var d = 0u; d < columns; d++) {
      var own_a: array<vec4<f32>, OWN_GROUPS>;
      var own_b: array<vec4<f32>, OWN_GROUPS>;
      //#unroll g OWN_GROUPS
      {
        const g = 0u;
        own_a[g] = load_own_a(own_at[g] + d);
        own_b[g] = load_own_b(own_at[g] + d);
      }
      //#end
      var other_a: array<vec4<f32>, OTHERS>;
      var other_b: array<vec4<f32>, OTHERS>;
      //#unroll j OTHERS
      {
        const j = 0u;
        other_a[j] = load_other_a(other_at[j] + d);
        other_b[j] = load_other_b(other_at[j] + d);
      }
      //#end
      //#unroll e 4
      {
        const e = 0u;
        //#unroll o OWN
        {
          const o = 0u;
          let a = subgroupBroadcast(own_a[o / LANES][e], o % LANES);
          let b = subgroupBroadcast(own_b[o / LANES][e], o % LANES);
          //#unroll j OTHERS
          {
            const j = 0u;
            scores[o * OTHERS + j] = fma(a, other_a[j][e], scores[o * OTHERS + j]);
            dp[o * OTHERS + j] = fma(b, other_b[j][e], dp[o * OTHERS + j]);
          }
          //#end
        }
        //#end
      }
      //#end
    }
    // From here on `scores` holds p and `dp` holds ds.
    //#unroll j OTHERS
    {
      const j = 0u;
      let other = other0 + j * LANES + lane;
      //#if KEYS
      let stats = statistics[first_statistics + min(other, TOKENS - 1u)];
      //#endif
      //#unroll o OWN
      {
        const o = 0u;
        //#if !KEYS
        let stats = query[o];
        //#endif
        scores[o * OTHERS + j] = select(0.0, exp(scores[o * OTHERS + j] - stats.x), other < TOKENS);
        dp[o * OTHERS + j] = scores[o * OTHERS + j] * (dp[o * OTHERS + j] - stats.y);
      }
      //#end
    }
    //#end
    // Four other rows at a time, as in attention_subgroup.wgsl.
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
            a[l * VECTORS + v] = load_other_a(at);
            //#if KEYS
            b[l * VECTORS + v] = load_other_b(at);
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
            let ds = vec4<f32>(subgroupBroadcast(dp[o * OTHERS + j], l4 * 4u + l));
            //#if KEYS
            let p = vec4<f32>(subgroupBroadcast(scores[o * OTHERS + j], l4 * 4u + l));
            //#endif
            //#unroll v VECTORS
            {
              const v = 0u;
              acc[o * VECTORS + v] = fma(ds, a[l * VECTORS + v], acc[o * VECTORS + v]);
              //#if KEYS
              v_acc[o * VECTORS + v] = fma(p, b[l * VECTORS + v], v_acc[o * VECTORS + v]);
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
  var value_tile: array<vec4<f32>, OWN * VECTORS>;
  //#endif
  //#unroll o OWN
  {
    const o = 0u;
    //#unroll v VECTORS
    {
      const v = 0u;
      tile[o * VECTORS + v] = acc[o * VECTORS + v];
      //#if KEYS
      value_tile[o * VECTORS + v] = v_acc[o * VECTORS + v];
      //#endif
    }
    //#end
  }
  //#end
  // known only at run time, so that no compiler unrolls the loop
  let end = min(OWN, TOKENS - own0) * VECTORS;
  for (var i = 0u; i < end; i++) {
    let column = lane + i % VECTORS * LANES;
    let at = first + (own0 + i / VECTORS) * ROW + column;
    if (column >= D4) { continue; }
    //#if KEYS
    dqkv[PLANE + at] = vec4<Act>(tile[i]);
    dqkv[2u * PLANE + at] = vec4<Act>(value_tile[i]);
    //#endif
    //#if !KEYS
    dqkv[at] = vec4<Act>(tile[i]);
    //#endif
  }
}
