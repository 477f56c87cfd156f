// y = GELU(x) with dropout: a value is dropped with probability DROP / 2^32; SCALE makes up for it
// in the others. No mask is stored: it is a hash of (seed, step, layer, index), which the backward
// pass computes again. One hash serves the four values of a vec4.
const COUNT: u32 = 1024u;  // vec4s
const STRIDE: u32 = 1024u;  // invocations of the dispatch
const LAYER: u32 = 0u;
const DROP: u32 = 429496730u;
const SCALE: f32 = 1.1111111;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;
//#if DROPOUT
@group(0) @binding(1) var<storage, read> seed: array<u32>;  // [2]: seed, step
//#endif
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Act>>;

//#if DROPOUT
//#include "common/pcg4d.wgsl"
//#endif

//#include "common/erf.wgsl"

@compute @workgroup_size(256)
fn geluDropout(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < COUNT; i += STRIDE) {
    let value = vec4<f32>(x[i]);
    var result = 0.5 * value * (1.0 + erf(value * 0.70710678));
    //#if DROPOUT
    let stays = pcg4d(vec4<u32>(seed[0], seed[1], LAYER, i)) >= vec4<u32>(DROP);
    result = select(vec4<f32>(0.0), result * SCALE, stays);
    //#endif
    y[i] = vec4<Act>(result);
  }
}
