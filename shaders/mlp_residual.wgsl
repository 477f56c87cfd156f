// The residual of a block's MLP: y = x1 + mlp; for the cls token, a sample's first, y = x1 + norm2.
const COUNT: u32 = 1024u;  // vec4s
const STRIDE: u32 = 1024u;  // invocations of the dispatch
const TOKENS: u32 = 801u;  // with the cls token
const WIDTH: u32 = 128u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x1: array<vec4<Act>>;  // [samples, TOKENS, WIDTH]
@group(0) @binding(1) var<storage, read> norm2: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read> mlp: array<vec4<Act>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Act>>;

@compute @workgroup_size(256)
fn mlpResidual(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < COUNT; i += STRIDE) {
    var branch: vec4<Act>;
    if ((i / (WIDTH / 4u)) % TOKENS == 0u) { branch = norm2[i]; } else { branch = mlp[i]; }
    y[i] = vec4<Act>(vec4<f32>(x1[i]) + vec4<f32>(branch));
  }
}
