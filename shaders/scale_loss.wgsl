// The gradient that differentiation starts from in mixed precision: the loss's share times the scale that keeps small gradients above what a half
// can hold.
struct Scaler { scale: f32, good: f32, correction1: f32, correction2: f32 }

@group(0) @binding(0) var<storage, read> share: array<f32>;  // [1]
@group(0) @binding(1) var<storage, read> scaler: Scaler;
@group(0) @binding(2) var<storage, read_write> seed: array<f32>;  // [1]

@compute @workgroup_size(1)
fn scaleLoss() { seed[0] = share[0] * scaler.scale; }
