// AdamW (Loshchilov & Hutter, "Decoupled Weight Decay Regularization") in the order of PyTorch's
// operations: decay, moments, step. The same pass zeroes the gradients for the next accumulation. A
// gradient scale of 0 skips the step: with loss scaling, the gradients overflowed.
const COUNT: u32 = 1024u;
const STRIDE: u32 = 1024u;  // invocations of the dispatch

//#include "common/hyper.wgsl"

@group(0) @binding(0) var<storage, read> hyper: Hyper;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(256)
fn step(@builtin(global_invocation_id) id: vec3<u32>) {
  let rate = hyper.learningRate / hyper.correction1;
  let keep = 1.0 - hyper.learningRate * hyper.decay;
  for (var i = id.x; i < COUNT; i += STRIDE) {
    if (hyper.gradientScale != 0.0) {
      let g = hyper.gradientScale * gradients[i];
      let first = m[i] + (1.0 - hyper.beta1) * (g - m[i]);
      let second = hyper.beta2 * v[i] + (1.0 - hyper.beta2) * g * g;
      m[i] = first;
      v[i] = second;
      parameters[i] = keep * parameters[i] - rate * first / (sqrt(second) / hyper.correction2 + hyper.epsilon);
    }
    gradients[i] = 0.0;
  }
}
