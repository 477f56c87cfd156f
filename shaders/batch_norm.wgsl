// BatchNorm of the three projections by their batch statistics:
// (x - mean)/deviation * gamma + beta. A sample's first token, the cls token, is copied. An
// invocation has 4 channels of RUN tokens: it reads what belongs to the channels once per run.
//
// The kernels of BatchNorm:
//   batch_norm_moments.wgsl, batch_norm_statistics.wgsl  the statistics, in two stages
//   batch_norm.wgsl                                      the forward pass
//   batch_norm_sums.wgsl (then column_sums.wgsl)         gradients of gamma and beta
//   batch_norm_backward.wgsl                             gradient of x
const WIDTH: u32 = 256u;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 400u;  // without the cls token
const RUN: u32 = 8u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [3, SAMPLES, 1 + TOKENS, WIDTH]
// [3, WIDTH, 2 (mean, 1/deviation)]
@group(0) @binding(1) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>;  // [3, WIDTH]
@group(0) @binding(3) var<storage, read> beta: array<vec4<f32>>;  // [3, WIDTH]
// [3, SAMPLES, 1 + TOKENS, WIDTH]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<Act>>;

@compute @workgroup_size(64)
fn batchNorm(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  let channel = id.x % W4;
  let first = id.x / W4 * RUN;
  let column = id.z * W4 + channel;
  let low = stats[2u * column];
  let high = stats[2u * column + 1u];
  let mean = vec4<f32>(low.xz, high.xz);
  let scale = vec4<f32>(low.yw, high.yw) * gamma[column];
  let shift = beta[column];
  let end = min(first + RUN, 1u + TOKENS);
  for (var token = first; token < end; token++) {
    let at = ((id.z * SAMPLES + id.y) * (1u + TOKENS) + token) * W4 + channel;
    let value = vec4<f32>(x[at]);
    y[at] = vec4<Act>(select((value - mean) * scale + shift, value, token == 0u));
  }
}
