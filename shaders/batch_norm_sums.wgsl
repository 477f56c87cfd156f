// BatchNorm's gradients by gamma and beta, first stage: sums of dy (x - mean)/deviation and of dy
// over CHUNK rows, by column. An invocation walks down 4 channels; neighbours have neighbouring
// channels. A sample's first token, the cls token, does not count.
const WIDTH: u32 = 256u;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 400u;  // without the cls token
const CHUNK: u32 = 8u;
const CHUNKS: u32 = 50u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [3, SAMPLES, 1 + TOKENS, WIDTH]
// [3, WIDTH, 2 (mean, 1/deviation)]
@group(0) @binding(1) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<Act>>;  // as x
// [CHUNKS, 2 (gamma's, beta's), 3, WIDTH]
@group(0) @binding(3) var<storage, read_write> parts: array<vec4<f32>>;

@compute @workgroup_size(64)
fn weightSums(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  if (id.x >= CHUNKS * W4) { return; }
  let channel = id.x % W4;
  let chunk = id.x / W4;
  let plane = id.y;
  let low = stats[2u * (plane * W4 + channel)];
  let high = stats[2u * (plane * W4 + channel) + 1u];
  let mean = vec4<f32>(low.xz, high.xz);
  let end = min((chunk + 1u) * CHUNK, SAMPLES * TOKENS);
  var gammas = vec4<f32>(0.0);
  var betas = vec4<f32>(0.0);
  for (var row = chunk * CHUNK; row < end; row++) {
    let at = (plane * SAMPLES * (1u + TOKENS) + row + row / TOKENS + 1u) * W4 + channel;
    let g = vec4<f32>(dy[at]);
    gammas += g * (vec4<f32>(x[at]) - mean);
    betas += g;
  }
  let out = (chunk * 6u + plane) * W4 + channel;
  parts[out] = gammas * vec4<f32>(low.yw, high.yw);
  parts[out + 3u * W4] = betas;
}
