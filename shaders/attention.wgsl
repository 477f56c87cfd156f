// softmax(q k^T * SCALE) v for each head. No score matrix is stored: an invocation owns a query,
// walks over the keys in one pass, keeps a running maximum, and rescales its sums when the maximum
// grows (Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018).
//
// The ladder of this family. Instructions of a lane per score, and warps per multiprocessor by
// registers: RTX 3090, 320x640, batch 16, heads of 32 / of 64 (bench/kernels.js).
//   attention.wgsl           plain. float16: 240 / 464; float32: 176 / 336; 20 / 12 warps. Runs
//                            anywhere; the default if no other variant fits.
//   attention_subgroup.wgsl  a subgroup shares its queries by broadcasts, all in registers. The
//                            default on SwiftShader and on lavapipe with 256-bit vectors: there 33
//                            GFLOP/s on two cores at 320x640, batch 1.
//   attention_shared.wgsl    a query or two per invocation, keys and values in workgroup memory.
//                            The default on lavapipe with 512-bit vectors.
//   attention_tiled.wgsl     tiles of queries and keys in workgroup memory. float16: 123 / 233;
//                            float32: 99 / 185; 28 warps. The default on GPUs.
//   attention_matrix.wgsl    matrix units, float16 with float32 sums: 14 / 20, 28 / 16 warps.
//   attention_split.wgsl     float32 on the same units: 25 / 32, 20 / 16 warps.
// Matrix units are used only if the tuner has checked them on the adapter.
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 401u;
const HEADS: u32 = 4u;
const HEAD_WIDTH: u32 = 64u;
const SCALE: f32 = 1.0;
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as

// [3, SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(0) var<storage, read> qkv: array<vec4<Act>>;
// [SAMPLES, TOKENS, HEADS*HEAD_WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Act>>;

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
  var acc: array<vec4<f32>, D4>;
  var row_max = -3.0e38;
  var exp_sum = 0.0;
  for (var key = 0u; key < TOKENS; key++) {
    let k = PLANE + first + key * ROW;
    var products = vec4<f32>(0.0);
    //#if HELD
    for (var i = 0u; i < D4; i++) { products += q[i] * vec4<f32>(qkv[k + i]); }
    //#endif
    //#if !HELD
    // The query and sums of a wide head need more registers than some GPUs have.
    for (var i = 0u; i < D4; i++) { products += vec4<f32>(qkv[own + i]) * SCALE * vec4<f32>(qkv[k + i]); }
    //#endif
    let score = dot(products, vec4<f32>(1.0));
    let new_max = max(row_max, score);
    let rescale = exp(row_max - new_max);
    let p = exp(score - new_max);
    row_max = new_max;
    exp_sum = exp_sum * rescale + p;
    for (var i = 0u; i < D4; i++) { acc[i] = acc[i] * rescale + p * vec4<f32>(qkv[k + PLANE + i]); }
  }
  for (var i = 0u; i < D4; i++) { y[own + i] = vec4<Act>(acc[i] / exp_sum); }
}
