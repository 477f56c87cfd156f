// dx = dy * (Phi(x) + x phi(x)) under gelu_dropout.wgsl's mask: Phi is the normal distribution, phi
// its density. The same hash of the same key makes the same mask. erf(x / sqrt 2) in Phi ends in
// exp(-x^2 / 2), which is phi but for a factor: one exponential serves both.
const COUNT: u32 = 1024u;  // vec4s
const STRIDE: u32 = 1024u;  // invocations of the dispatch
const LAYER: u32 = 0u;
const DROP: u32 = 429496730u;
const SCALE: f32 = 1.1111111;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;
//#if DROPOUT
@group(0) @binding(2) var<storage, read> seed: array<u32>;  // [2]: seed, step
//#endif
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<Act>>;

//#if DROPOUT
//#include "common/pcg4d.wgsl"
//#endif

@compute @workgroup_size(256)
fn geluDropoutBackward(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < COUNT; i += STRIDE) {
    let value = vec4<f32>(x[i]);
    let a = abs(value) * 0.70710678;
    let bell = exp(-a * a);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let erf = sign(value) * (1.0 - poly * bell);
    var result = vec4<f32>(dy[i]) * (0.5 + 0.5 * erf + value * (0.39894228 * bell));
    //#if DROPOUT
    let stays = pcg4d(vec4<u32>(seed[0], seed[1], LAYER, i)) >= vec4<u32>(DROP);
    result = select(vec4<f32>(0.0), result * SCALE, stays);
    //#endif
    dx[i] = vec4<Act>(result);
  }
}
