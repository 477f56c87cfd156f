// The settings of an AdamW step, written by the host or by update_scaler.wgsl.
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
