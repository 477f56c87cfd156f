// [ROWS, COLUMNS] → [COLUMNS, ROWS]. For small tensors, the weights of convolutions: neighbours
// write next to each other, but do not read so.
const ROWS: u32 = 768u;
const COLUMNS: u32 = 9u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn transposed(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < ROWS * COLUMNS) { y[id.x] = x[id.x % ROWS * COLUMNS + id.x / ROWS]; }
}
