// Adds up the errors that head_errors_tiled.wgsl, head_errors_matrix.wgsl or head_errors_split.wgsl
// found in each tile of a token's pixels: means over the token.
const PARTS: u32 = 16u;
const TOKENS: u32 = 800u;  // of all samples
const VALUES: u32 = 1024u;  // that a token predicts

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;  // [TOKENS, PARTS]
// [TOKENS] (student, target)
@group(0) @binding(1) var<storage, read_write> errors: array<vec2<f32>>;

@compute @workgroup_size(64)
fn sumErrors(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= TOKENS) { return; }
  var sum = vec2<f32>(0.0);
  for (var i = 0u; i < PARTS; i++) { sum += partial[id.x * PARTS + i]; }
  errors[id.x] = sum / f32(VALUES);
}
