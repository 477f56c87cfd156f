// softmax(q k^T * SCALE) v for each head, without a stored score matrix: every invocation owns a query and walks over the keys in one pass,
// keeping a running maximum and rescaling what it has summed when that grows (Milakov & Gimelshein, "Online normalizer
// calculation for softmax", 2018).
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const SCALE: f32 = 1.0;
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;  // [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;  // [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]

@compute @workgroup_size(WORKGROUP)
fn attention(@builtin(global_invocation_id) id: vec3<u32>) {
  const D4 = HEAD_WIDTH / 4u;
  const ROW = HEADS * D4;
  const PLANE = SAMPLES * TOKENS * ROW;
  if (id.x >= TOKENS) { return; }
  let head = id.y * D4;
  let first = id.z * TOKENS * ROW + head;
  let own = first + id.x * ROW;
  //#if HELD
  var q: array<vec4<f32>, D4>;
  for (var i = 0u; i < D4; i++) { q[i] = vec4<f32>(qkv[own + i]) * SCALE; }
  //#endif
  var sum: array<vec4<f32>, D4>;
  var largest = -3.0e38;
  var total = 0.0;
  for (var key = 0u; key < TOKENS; key++) {
    let k = PLANE + first + key * ROW;
    var products = vec4<f32>(0.0);
    //#if HELD
    for (var i = 0u; i < D4; i++) { products += q[i] * vec4<f32>(qkv[k + i]); }
    //#endif
    //#if !HELD
    // A wide head's query and sums together are more than all registers of some GPUs.
    for (var i = 0u; i < D4; i++) { products += vec4<f32>(qkv[own + i]) * SCALE * vec4<f32>(qkv[k + i]); }
    //#endif
    let score = dot(products, vec4<f32>(1.0));
    let larger = max(largest, score);
    let shrink = exp(largest - larger);
    let share = exp(score - larger);
    largest = larger;
    total = total * shrink + share;
    for (var i = 0u; i < D4; i++) { sum[i] = sum[i] * shrink + share * vec4<f32>(qkv[k + PLANE + i]); }
  }
  for (var i = 0u; i < D4; i++) { y[own + i] = vec4<Act>(sum[i] / total); }
}
