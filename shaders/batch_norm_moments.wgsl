// Batch statistics, first stage: mean and sum of squared deviations of CHUNK rows, by column.
// Welford's update keeps its digits whatever the mean is. An invocation walks down 4 channels;
// neighbours have neighbouring channels. A sample's first token, the cls token, does not count.
const WIDTH: u32 = 256u;
const SAMPLES: u32 = 1u;
const TOKENS: u32 = 400u;  // without the cls token
const CHUNK: u32 = 8u;
const CHUNKS: u32 = 50u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [3, SAMPLES, 1 + TOKENS, WIDTH]
// [CHUNKS, 2 (means, squares), 3, WIDTH]
@group(0) @binding(1) var<storage, read_write> parts: array<vec4<f32>>;

@compute @workgroup_size(64)
fn moments(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  if (id.x >= CHUNKS * W4) { return; }
  let channel = id.x % W4;
  let chunk = id.x / W4;
  let plane = id.y;
  let end = min((chunk + 1u) * CHUNK, SAMPLES * TOKENS);
  var count = 0.0;
  var mean = vec4<f32>(0.0);
  var squares = vec4<f32>(0.0);
  for (var row = chunk * CHUNK; row < end; row++) {
    let value = vec4<f32>(x[(plane * SAMPLES * (1u + TOKENS) + row + row / TOKENS + 1u) * W4 + channel]);
    count += 1.0;
    let d = value - mean;
    mean += d * (1.0 / count);
    squares += d * (value - mean);
  }
  let out = (chunk * 6u + plane) * W4 + channel;
  parts[out] = mean;
  parts[out + 3u * W4] = squares;
}
