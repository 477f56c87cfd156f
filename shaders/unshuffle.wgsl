// Puts kept tokens back in their places, and the mask token in those of removed ones; the cls token
// stays in front.
const WIDTH: u32 = 128u;
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [samples, 1 + KEEP, WIDTH]
@group(0) @binding(1) var<storage, read> maskToken: array<vec4<f32>>;  // [WIDTH]
@group(0) @binding(2) var<storage, read> idsRestore: array<u32>;  // [samples, TOKENS]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Act>>;  // [samples, 1 + TOKENS, WIDTH]

@compute @workgroup_size(64)
fn unshuffle(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  if (id.x >= (1u + TOKENS) * W4) { return; }
  let token = id.x / W4;
  let channel = id.x % W4;
  var source = 0u;
  if (token > 0u) { source = idsRestore[id.y * TOKENS + token - 1u] + 1u; }
  var value = vec4<Act>(maskToken[channel]);
  if (source <= KEEP) { value = x[(id.y * (1u + KEEP) + source) * W4 + channel]; }
  y[id.y * (1u + TOKENS) * W4 + id.x] = value;
}
