// The gradient of attention by queries, or with KEYS by keys and values, without a stored score matrix. With the shares p = exp(q k^T - lse),
//   ds = p * (dy v^T - delta),  dq = ds k,  dk = ds^T q,  dv = p^T dy.
// Both directions are one plan: a workgroup owns 32 rows (queries, or keys) and walks over the other rows, 32 at a time. First two tiles of
// 32 x 32 dot products, own a * other a (scores) and own b * other b (dy v^T), both rows staged in workgroup memory 4 vec4s at a time, 4 own by
// OTHERS other rows an invocation in registers. They become shares and ds, which go through workgroup memory, and are multiplied with the
// other rows, 4 own rows by VECTORS vec4s an invocation. Nobody adds to what another one owns: no atomics, always the same sum.
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const ACROSS: u32 = 8u;  // invocations that share four own rows: 8, or 16 for wide heads, whose sums would be too many registers
const OTHERS: u32 = 4u;  // 32 / ACROSS
const VECTORS: u32 = 2u;  // HEAD_WIDTH / 4 / ACROSS, rounded up
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>;  // [SAMPLES, HEADS, TOKENS] lse and delta of each query
@group(0) @binding(3) var<storage, read_write> dqkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

const SIDE = 32u;
const STAGED = 4u;  // vec4s of a row in workgroup memory at a time
const D4 = HEAD_WIDTH / 4u;
const ROW = HEADS * D4;
const PLANE = SAMPLES * TOKENS * ROW;

// Row 4 g + r of a tile is at r * 8 + g of each of its columns: what neighbouring invocations read, each for its own four rows, lies side by side.
var<workgroup> ownA: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> ownB: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> otherA: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> otherB: array<vec4<f32>, STAGED * SIDE>;
var<workgroup> ds: array<vec4<f32>, SIDE * SIDE / 4u>;  // [other row] vec4 of own rows
//#if KEYS
var<workgroup> shares: array<vec4<f32>, SIDE * SIDE / 4u>;

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

@compute @workgroup_size(8u * ACROSS)
fn attentionBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let across = local % ACROSS;  // which of the other rows; later which columns
  let down = local / ACROSS;  // which four of the own rows
  let other1 = across * OTHERS;
  let otherAt1 = other1 % 4u * 8u + other1 / 4u;  // where the first of them lies in a column of a tile
  let first = group.z * TOKENS * ROW + group.y * D4;
  let firstStatistics = (group.z * HEADS + group.y) * TOKENS;
  let own0 = group.x * SIDE;
  var sums: array<vec4<f32>, 4u * VECTORS>;  // [own row, vector]: dq or dk
  //#if KEYS
  var valueSums: array<vec4<f32>, 4u * VECTORS>;  // dv
  //#endif
  //#if !KEYS
  let own = own0 + down * 4u;
  let stats = mat4x2<f32>(
    statistics[firstStatistics + min(own, TOKENS - 1u)],
    statistics[firstStatistics + min(own + 1u, TOKENS - 1u)],
    statistics[firstStatistics + min(own + 2u, TOKENS - 1u)],
    statistics[firstStatistics + min(own + 3u, TOKENS - 1u)],
  );
  let lse = vec4<f32>(stats[0].x, stats[1].x, stats[2].x, stats[3].x);
  let delta = vec4<f32>(stats[0].y, stats[1].y, stats[2].y, stats[3].y);
  //#endif
  for (var other0 = 0u; other0 < TOKENS; other0 += SIDE) {
    var scores: array<vec4<f32>, OTHERS>;  // [other row] vec4 of own rows
    var products: array<vec4<f32>, OTHERS>;
    //#unroll s OTHERS
    {
      const s = 0u;
      scores[s] = vec4<f32>(0.0);
      products[s] = vec4<f32>(0.0);
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
        // Beyond the last token or column the last one stands in: those products are not used.
        let source = first + min(column0 + column, D4 - 1u);
        let ownAt = source + min(own0 + row, TOKENS - 1u) * ROW;
        let otherAt = source + min(other0 + row, TOKENS - 1u) * ROW;
        ownA[to] = loadOwnA(ownAt);
        ownB[to] = loadOwnB(ownAt);
        otherA[to] = loadOtherA(otherAt);
        otherB[to] = loadOtherB(otherAt);
      }
      workgroupBarrier();
      let columns = min(STAGED, D4 - column0);
      for (var column = 0u; column < columns; column++) {
        let at = column * SIDE + down;
        // One product after the other: both operands at once are more than the registers of some GPUs.
        let a = transpose(mat4x4<f32>(ownA[at], ownA[at + 8u], ownA[at + 16u], ownA[at + 24u]));
        //#unroll s OTHERS
        {
          const s = 0u;
          let oa = otherA[column * SIDE + s * 8u + otherAt1];
          //#unroll e 4
          {
            const e = 0u;
            scores[s] = fma(a[e], vec4<f32>(oa[e]), scores[s]);
          }
          //#end
        }
        //#end
        let b = transpose(mat4x4<f32>(ownB[at], ownB[at + 8u], ownB[at + 16u], ownB[at + 24u]));
        //#unroll s OTHERS
        {
          const s = 0u;
          let ob = otherB[column * SIDE + s * 8u + otherAt1];
          //#unroll e 4
          {
            const e = 0u;
            products[s] = fma(b[e], vec4<f32>(ob[e]), products[s]);
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
      let query = statistics[firstStatistics + min(other0 + other, TOKENS - 1u)];
      let lse = vec4<f32>(query.x);
      let delta = vec4<f32>(query.y);
      //#endif
      let share = select(vec4<f32>(0.0), exp(scores[s] - lse), other0 + other < TOKENS);
      ds[other * 8u + down] = share * (products[s] - delta);
      //#if KEYS
      shares[other * 8u + down] = share;
      //#endif
    }
    //#end
    workgroupBarrier();
    let others = min(SIDE, TOKENS - other0);
    for (var other = 0u; other < others; other++) {
      let row = first + (other0 + other) * ROW;
      let gradient = ds[other * 8u + down];
      //#if KEYS
      let share = shares[other * 8u + down];
      //#endif
      //#unroll v VECTORS
      {
        const v = 0u;
        let at = row + min(across + v * ACROSS, D4 - 1u);
        let a = loadOtherA(at);
        //#if KEYS
        let b = loadOtherB(at);
        //#endif
        //#unroll r 4
        {
          const r = 0u;
          sums[r * VECTORS + v] = fma(vec4<f32>(gradient[r]), a, sums[r * VECTORS + v]);
          //#if KEYS
          valueSums[r * VECTORS + v] = fma(vec4<f32>(share[r]), b, valueSums[r * VECTORS + v]);
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
        dqkv[PLANE + at] = vec4<Act>(sums[r * VECTORS + v]);
        dqkv[2u * PLANE + at] = vec4<Act>(valueSums[r * VECTORS + v]);
        //#endif
        //#if !KEYS
        dqkv[at] = vec4<Act>(sums[r * VECTORS + v]);
        //#endif
      }
    }
    //#end
  }
  //#end
}
