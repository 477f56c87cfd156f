// Converts a linear layer's weight, as PyTorch keeps it, to the layout of the target's linear
// kernel. It multiplies weight and bias by the batch entry's scale: in training, weights change
// with every step. The layout is [N, K], or with STRIPS tiles of STRIPS strips of LANES vec4s, as
// in linear_subgroup.wgsl. An invocation moves 4 x 4 weights, so that whole vec4s are read and
// written in either layout.
const N: u32 = 256u;
const K: u32 = 256u;
const LANES: u32 = 8u;
const STRIPS: u32 = 2u;
const TRANSPOSED: bool = false;  // the weight is [batch, K, N] already
const SCALE_0: f32 = 1.0;
const SCALE_1: f32 = 1.0;
const SCALE_2: f32 = 1.0;
const SCALE_3: f32 = 1.0;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> weight: array<vec4<f32>>;  // [batch, N, K]
//#if BIAS
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;  // [batch, N]
//#endif
// [batch, N, K], or with STRIPS [batch, N / (LANES*STRIPS*4), K / 4, LANES, 4 k, STRIPS]
@group(0) @binding(2) var<storage, read_write> packedWeight: array<vec4<Act>>;
// [batch, N], zero without BIAS
@group(0) @binding(3) var<storage, read_write> packedBias: array<vec4<f32>>;

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3<u32>) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  const SCALES = vec4<f32>(SCALE_0, SCALE_1, SCALE_2, SCALE_3);
  if (id.x >= K4 * N4) { return; }
  let k = id.x / N4;
  let n = id.x % N4;
  let first = id.z * K * N4;
  let scale = SCALES[min(id.z, 3u)];
  var block: mat4x4<f32>;  // columns: 4 k, each of 4 n
  if (TRANSPOSED) {
    let at = first + k * 4u * N4 + n;
    block = mat4x4<f32>(weight[at], weight[at + N4], weight[at + 2u * N4], weight[at + 3u * N4]);
  } else {
    let at = first + n * 4u * K4 + k;
    block = transpose(mat4x4<f32>(weight[at], weight[at + K4], weight[at + 2u * K4], weight[at + 3u * K4]));
  }
  //#if STRIPS
  let tile = n / (LANES * STRIPS);
  let strip = n / LANES % STRIPS;
  let out = first + ((tile * K4 + k) * LANES + n % LANES) * 4u * STRIPS + strip;
  packedWeight[out] = vec4<Act>(block[0] * scale);
  packedWeight[out + STRIPS] = vec4<Act>(block[1] * scale);
  packedWeight[out + 2u * STRIPS] = vec4<Act>(block[2] * scale);
  packedWeight[out + 3u * STRIPS] = vec4<Act>(block[3] * scale);
  //#endif
  //#if !STRIPS
  let rows = transpose(block);
  let out = first + n * 4u * K4 + k;
  packedWeight[out] = vec4<Act>(rows[0] * scale);
  packedWeight[out + K4] = vec4<Act>(rows[1] * scale);
  packedWeight[out + 2u * K4] = vec4<Act>(rows[2] * scale);
  packedWeight[out + 3u * K4] = vec4<Act>(rows[3] * scale);
  //#endif
  if (k == 0u) {
    var value = vec4<f32>(0.0);
    //#if BIAS
    value = bias[id.z * N4 + n] * scale;
    //#endif
    packedBias[id.z * N4 + n] = value;
  }
}
