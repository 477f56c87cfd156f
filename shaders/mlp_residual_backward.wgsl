// Passes the gradient of a block's output to the branches that mlp_residual.wgsl added: cls tokens
// (a sample's first) to norm2, the others to the MLP, and zeros for the rest of each.
const COUNT: u32 = 1024u;  // vec4s
const STRIDE: u32 = 1024u;  // invocations of the dispatch
const TOKENS: u32 = 801u;  // with the cls token
const WIDTH: u32 = 128u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> dy: array<vec4<Act>>;  // [samples, TOKENS, WIDTH]
@group(0) @binding(1) var<storage, read_write> dNorm2: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read_write> dMlp: array<vec4<Act>>;

@compute @workgroup_size(256)
fn mlpResidualBackward(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < COUNT; i += STRIDE) {
    let value = dy[i];
    let cls = (i / (WIDTH / 4u)) % TOKENS == 0u;
    dNorm2[i] = select(vec4<Act>(), value, cls);
    dMlp[i] = select(value, vec4<Act>(), cls);
  }
}
