// The state of dynamic loss scaling (update_scaler.wgsl).
struct Scaler { scale: f32, good: f32, correction1: f32, correction2: f32 }
