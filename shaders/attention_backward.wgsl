// The gradient of attention by queries, or with KEYS by keys and values. No score matrix is stored:
//   p = exp(q k^T - lse),  dp = dy v^T,  ds = p * (dp - delta),  dq = ds k,  dk = ds^T q,
//   dv = p^T dy.
//
// Both directions have one plan. A workgroup owns 32 rows (queries, or keys) and walks over the
// other rows, 32 at a time:
// 1. Two tiles of 32 x 32 dot products: own a * other a (scores) and own b * other b (dp). Both
//    rows are staged in workgroup memory, 4 vec4s at a time; an invocation makes 4 own by OTHERS
//    other rows.
// 2. They become p and ds, in workgroup memory.
// 3. These multiply the other rows: 4 own rows by VECTORS vec4s per invocation.
// Each sum has one owner: no atomics, and always the same bits.
//
// The family's ladder; attention_backward_statistics has the same variants, to compute lse and
// delta. GFLOP/s of the whole gradient on SwiftShader, two cores (docs/performance.md, "Training").
//   attention_backward.wgsl           plain: tiles in workgroup memory. 0.47 to 0.53. Runs
//                                     anywhere; the default on GPUs, where it is not measured.
//   attention_backward_subgroup.wgsl  a subgroup shares its rows by broadcasts. 4.0 to 4.1. The
//                                     default on SwiftShader and on lavapipe with 256-bit vectors.
//   attention_backward_shared.wgsl    a row or two per invocation, the others in workgroup memory.
//                                     The default on lavapipe with 512-bit vectors. Not measured
//                                     alone.
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
// invocations that share four own rows: 8, or 16 for wide heads, to save registers
const ACROSS: u32 = 8u;
const OTHERS: u32 = 4u;  // 32 / ACROSS
const VECTORS: u32 = 2u;  // HEAD_WIDTH / 4 / ACROSS, rounded up
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;
// [SAMPLES, HEADS, TOKENS] lse and delta of each query
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>;
// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(3) var<storage, read_write> dqkv: array<vec4<Act>>;

const SIDE = 32u;
const STAGED = 4u;  // vec4s of a row in workgroup memory at a time
const D4 = HEAD_WIDTH / 4u;
const ROW = HEADS * D4;
const PLANE = SAMPLES * TOKENS * ROW;

// In each column of a tile, row 4 g + r lies at r * 8 + g. So neighbouring invocations, which read
// four rows each, read side by side.
var<workgroup> own_a: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> own_b: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> other_a: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> other_b: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> ds_tile: array<vec4<f32>, SIDE * SIDE / 4u>;  // [other row] vec4 of own rows
//#if KEYS
var<workgroup> p_tile: array<vec4<f32>, SIDE * SIDE / 4u>;
//#endif

//#include "common/attention_backward_rows.wgsl"

@compute @workgroup_size(8u * ACROSS)
fn attentionBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let across = local % ACROSS;  // which of the other rows; later, which columns
  let down = local / ACROSS;  // which four of the own rows
  let other1 = across * OTHERS;
  // where the first of them lies in a column of a tile
  let other_at1 = other1 % 4u * 8u + other1 / 4u;
  let first = group.z * TOKENS * ROW + group.y * D4;
  let first_statistics = (group.z * HEADS + group.y) * TOKENS;
  let own0 = group.x * SIDE;
  var acc: array<vec4<f32>, 4u * VECTORS>;  // [own row, vector]: dq or dk
  //#if KEYS
  var v_acc: array<vec4<f32>, 4u * VECTORS>;  // dv
  //#endif
  //#if !KEYS
  let own = own0 + down * 4u;
  let stats = mat4x2<f32>(
    statistics[first_statistics + min(own, TOKENS - 1u)],
    statistics[first_statistics + min(own + 1u, TOKENS - 1u)],
    statistics[first_statistics + min(own + 2u, TOKENS - 1u)],
    statistics[first_statistics + min(own + 3u, TOKENS - 1u)],
  );
  let lse = vec4<f32>(stats[0].x, stats[1].x, stats[2].x, stats[3].x);
  let delta = vec4<f32>(stats[0].y, stats[1].y, stats[2].y, stats[3].y);
  //#endif
  for (var other0 = 0u; other0 < TOKENS; other0 += SIDE) {
    var scores: array<vec4<f32>, OTHERS>;  // [other row] vec4 of own rows
    var dp: array<vec4<f32>, OTHERS>;
    //#unroll s OTHERS
    {
      const s = 0u;
      scores[s] = vec4<f32>(0.0);
      dp[s] = vec4<f32>(0.0);
    }
    //#end
    for (var column0 = 0u; column0 < D4; column0 += STAGED) {
      workgroupBarrier();
      for (var i = local; i < STAGED * SIDE; i += 8u * ACROSS) {
        let column = i % STAGED;
        let fourth = i / STAGED % 8u;
        let within = i / (STAGED * 8u);
        let row = fourth * 4u + within;
        let to = column * SIDE + within * 8u + fourth;
        // Beyond the last token or column, load the last one: its products are not used.
        let source = first + min(column0 + column, D4 - 1u);
        let own_at = source + min(own0 + row, TOKENS - 1u) * ROW;
        let other_at = source + min(other0 + row, TOKENS - 1u) * ROW;
        own_a[to] = load_own_a(own_at);
        own_b[to] = load_own_b(own_at);
        other_a[to] = load_other_a(other_at);
        other_b[to] = load_other_b(other_at);
      }
      workgroupBarrier();
      let columns = min(STAGED, D4 - column0);
      for (var column = 0u; column < columns; column++) {
        let at = column * SIDE + down;
        // One product after the other: both at once need more registers than some GPUs have.
        let a = transpose(mat4x4<f32>(own_a[at], own_a[at + 8u], own_a[at + 16u], own_a[at + 24u]));
        //#unroll s OTHERS
        {
          const s = 0u;
          let oa = other_a[column * SIDE + s * 8u + other_at1];
          //#unroll e 4
          {
            const e = 0u;
            scores[s] = fma(a[e], vec4<f32>(oa[e]), scores[s]);
          }
          //#end
        }
        //#end
        let b = transpose(mat4x4<f32>(own_b[at], own_b[at + 8u], own_b[at + 16u], own_b[at + 24u]));
        //#unroll s OTHERS
        {
          const s = 0u;
          let ob = other_b[column * SIDE + s * 8u + other_at1];
          //#unroll e 4
          {
            const e = 0u;
            dp[s] = fma(b[e], vec4<f32>(ob[e]), dp[s]);
          }
          //#end
        }
        //#end
      }
    }
    //#unroll s OTHERS
    {
      const s = 0u;
      let other = other1 + s;
      //#if KEYS
      let query = statistics[first_statistics + min(other0 + other, TOKENS - 1u)];
      let lse = vec4<f32>(query.x);
      let delta = vec4<f32>(query.y);
      //#endif
      let p = select(vec4<f32>(0.0), exp(scores[s] - lse), other0 + other < TOKENS);
      ds_tile[other * 8u + down] = p * (dp[s] - delta);
      //#if KEYS
      p_tile[other * 8u + down] = p;
      //#endif
    }
    //#end
    workgroupBarrier();
    let others = min(SIDE, TOKENS - other0);
    for (var other = 0u; other < others; other++) {
      let row = first + (other0 + other) * ROW;
      let ds = ds_tile[other * 8u + down];
      //#if KEYS
      let p = p_tile[other * 8u + down];
      //#endif
      //#unroll v VECTORS
      {
        const v = 0u;
        let at = row + min(across + v * ACROSS, D4 - 1u);
        let a = load_other_a(at);
        //#if KEYS
        let b = load_other_b(at);
        //#endif
        //#unroll r 4
        {
          const r = 0u;
          acc[r * VECTORS + v] = fma(vec4<f32>(ds[r]), a, acc[r * VECTORS + v]);
          //#if KEYS
          v_acc[r * VECTORS + v] = fma(vec4<f32>(p[r]), b, v_acc[r * VECTORS + v]);
          //#endif
        }
        //#end
      }
      //#end
    }
  }
  //#unroll r 4
  {
    const r = 0u;
    let row = own0 + down * 4u + r;
    //#unroll v VECTORS
    {
      const v = 0u;
      let column = across + v * ACROSS;
      if (row < TOKENS && column < D4) {
        let at = first + row * ROW + column;
        //#if KEYS
        dqkv[PLANE + at] = vec4<Act>(acc[r * VECTORS + v]);
        dqkv[2u * PLANE + at] = vec4<Act>(v_acc[r * VECTORS + v]);
        //#endif
        //#if !KEYS
        dqkv[at] = vec4<Act>(acc[r * VECTORS + v]);
        //#endif
      }
    }
    //#end
  }
  //#end
}
