// Lays the predicted anomaly channel out as an image, and maps it to 0..1.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const PREDICTION_ROWS: u32 = 801u;
alias Act = f32;  // what activations are stored as

// [samples, PREDICTION_ROWS, P*P] -1..1
@group(0) @binding(0) var<storage, read> prediction: array<Act>;
@group(0) @binding(1) var<storage, read_write> map: array<f32>;  // [samples, H, W] 0..1

@compute @workgroup_size(64)
fn layOut(@builtin(global_invocation_id) id: vec3<u32>) {
  let width = GRID_WIDTH * PATCH;
  if (id.x >= width) { return; }
  let token = (id.y / PATCH) * GRID_WIDTH + id.x / PATCH;
  let row = id.z * PREDICTION_ROWS + token + PREDICTION_ROWS - TOKENS;
  let value = f32(prediction[row * PATCH * PATCH + (id.y % PATCH) * PATCH + id.x % PATCH]);
  map[(id.z * TOKENS * PATCH * PATCH) + id.y * width + id.x] = clamp(value * 0.5 + 0.5, 0.0, 1.0);
}
