// BatchNorm's gradient by x, also through the batch's statistics. With n = (x - mean)/deviation and
// means over the batch: dx = gamma/deviation (dy - mean(dy) - n mean(dy n)). dbeta and dgamma are
// those means times COUNT. The cls token's gradient is dy itself. Runs of tokens as in
// batch_norm.wgsl.
const WIDTH: u32 = 256u;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 400u;  // without the cls token
const RUN: u32 = 8u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [3, SAMPLES, 1 + TOKENS, WIDTH]
// [3, WIDTH, 2 (mean, 1/deviation)]
@group(0) @binding(1) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>;  // [3, WIDTH]
@group(0) @binding(3) var<storage, read> dy: array<vec4<Act>>;  // as x
@group(0) @binding(4) var<storage, read> dgamma: array<vec4<f32>>;  // [3, WIDTH]
@group(0) @binding(5) var<storage, read> dbeta: array<vec4<f32>>;  // [3, WIDTH]
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<Act>>;  // as x

@compute @workgroup_size(64)
fn batchNormBackward(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  const COUNT = f32(SAMPLES * TOKENS);
  let channel = id.x % W4;
  let first = id.x / W4 * RUN;
  let column = id.z * W4 + channel;
  let low = stats[2u * column];
  let high = stats[2u * column + 1u];
  let mean = vec4<f32>(low.xz, high.xz);
  let scale = vec4<f32>(low.yw, high.yw);
  let factor = scale * gamma[column];
  let slope = scale * dgamma[column] / COUNT;
  let shift = dbeta[column] / COUNT;
  let end = min(first + RUN, 1u + TOKENS);
  for (var token = first; token < end; token++) {
    let at = ((id.z * SAMPLES + id.y) * (1u + TOKENS) + token) * W4 + channel;
    let g = vec4<f32>(dy[at]);
    dx[at] = vec4<Act>(select(factor * (g - shift - (vec4<f32>(x[at]) - mean) * slope), g, token == 0u));
  }
}
