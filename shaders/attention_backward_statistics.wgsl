// What the gradient of attention needs per query and head, so that no score matrix is stored:
// - lse, the logarithm of the sum of exponentials of its scores: p = exp(score - lse);
// - delta, the sum of dy * y: the softmax's own part of each score's gradient (Dao et al.,
//   FlashAttention, 2022).
// One pass over the keys with a running maximum, as in attention.wgsl.
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read> y: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<Act>>;
// [SAMPLES, HEADS, TOKENS]
@group(0) @binding(3) var<storage, read_write> statistics: array<vec2<f32>>;

@compute @workgroup_size(64)
fn scoreStatistics(@builtin(global_invocation_id) id: vec3<u32>) {
  const D4 = HEAD_WIDTH / 4u;
  const ROW = HEADS * D4;
  const PLANE = SAMPLES * TOKENS * ROW;
  if (id.x >= TOKENS) { return; }
  let first = id.z * TOKENS * ROW + id.y * D4;
  let own = first + id.x * ROW;
  var q: array<vec4<f32>, D4>;
  var products = vec4<f32>(0.0);
  for (var i = 0u; i < D4; i++) {
    q[i] = vec4<f32>(qkv[own + i]);
    products = fma(vec4<f32>(dy[own + i]), vec4<f32>(y[own + i]), products);
  }
  let delta = dot(products, vec4<f32>(1.0));
  var row_max = -3.0e38;
  var exp_sum = 0.0;
  for (var key = 0u; key < TOKENS; key++) {
    let k = PLANE + first + key * ROW;
    products = vec4<f32>(0.0);
    for (var i = 0u; i < D4; i++) { products = fma(q[i], vec4<f32>(qkv[k + i]), products); }
    let score = dot(products, vec4<f32>(1.0));
    let new_max = max(row_max, score);
    exp_sum = exp_sum * exp(row_max - new_max) + exp(score - new_max);
    row_max = new_max;
  }
  statistics[(id.z * HEADS + id.y) * TOKENS + id.x] = vec2<f32>(row_max + log(exp_sum), delta);
}
