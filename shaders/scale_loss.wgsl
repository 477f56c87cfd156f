// The gradient that differentiation starts from in mixed precision: the loss's share times the
// scale that keeps small gradients above float16's least numbers.
//#include "common/scaler.wgsl"

@group(0) @binding(0) var<storage, read> share: array<f32>;  // [1]
@group(0) @binding(1) var<storage, read> scaler: Scaler;
@group(0) @binding(2) var<storage, read_write> seed: array<f32>;  // [1]

@compute @workgroup_size(1)
fn scaleLoss() { seed[0] = share[0] * scaler.scale; }
