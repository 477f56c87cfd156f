// AdamW (Loshchilov & Hutter, "Decoupled Weight Decay Regularization") in the order of PyTorch's operations: decay, moments, step. All in one
// pass, which also leaves the gradients at zero for the next accumulation. A gradient scale of 0 leaves the step out: with loss scaling, of gradients
// that overflowed and are no numbers.
const COUNT: u32 = 1024u;
const STRIDE: u32 = 1024u;  // invocations of the dispatch

struct Hyper {
  learningRate: f32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
  decay: f32,
  correction1: f32,  // 1 - beta1^t
  correction2: f32,  // sqrt(1 - beta2^t)
  gradientScale: f32,
}

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
