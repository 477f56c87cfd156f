// The gradient of unshuffle.wgsl: rows of kept tokens go back to where they came from; those of
// removed tokens add up to the mask token's. Each row of dx has exactly one token (idsRestore is a
// permutation), so writing by token needs no inverse. An invocation has four channels of RUN
// tokens. Its sum over the removed ones goes to `partial`, whose rows column_sums.wgsl adds up.
const WIDTH: u32 = 128u;
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const RUN: u32 = 16u;
const RUNS: u32 = 50u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> dy: array<vec4<Act>>;  // [samples, 1 + TOKENS, WIDTH]
@group(0) @binding(1) var<storage, read> idsRestore: array<u32>;  // [samples, TOKENS]
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<Act>>;  // [samples, 1 + KEEP, WIDTH]
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;  // [samples, RUNS, WIDTH]

@compute @workgroup_size(64)
fn unshuffleBackward(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  if (id.x >= RUNS * W4) { return; }
  let run = id.x / W4;
  let channel = id.x % W4;
  let source = id.y * (1u + TOKENS) * W4 + channel;
  let to = id.y * (1u + KEEP) * W4 + channel;
  if (run == 0u) { dx[to] = dy[source]; }
  var sum = vec4<f32>(0.0);
  for (var token = run * RUN; token < min(TOKENS, (run + 1u) * RUN); token++) {
    let value = dy[source + (1u + token) * W4];
    let place = idsRestore[id.y * TOKENS + token];
    if (place < KEEP) { dx[to + (1u + place) * W4] = value; } else { sum += vec4<f32>(value); }
  }
  partial[id.y * RUNS * W4 + id.x] = sum;
}
