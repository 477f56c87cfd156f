// What a LayerNorm needs of each row: its mean, and 1 / √(variance + ε). SHARERS neighbours read a
// row together. The row is shifted by its first value, so that no digits are lost to a large mean.
const ROWS: u32 = 401u;
const WIDTH: u32 = 256u;  // a multiple of 4
const EPSILON: f32 = 1e-6;
const SHARERS: u32 = 8u;
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [ROWS, WIDTH]
@group(0) @binding(1) var<storage, read_write> moments: array<vec2<f32>>;  // [ROWS]: mean and scale

var<workgroup> parts: array<vec2<f32>, WORKGROUP>;  // sums of values and of squares

@compute @workgroup_size(WORKGROUP)
fn rowMoments(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  const WIDTH4 = WIDTH / 4u;
  let row = group.x * (WORKGROUP / SHARERS) + local / SHARERS;
  let first = min(row, ROWS - 1u) * WIDTH4;
  let shift = f32(x[first].x);
  var sum = vec2<f32>(0.0);
  for (var i = local % SHARERS; i < WIDTH4; i += SHARERS) {
    let d = vec4<f32>(x[first + i]) - shift;
    sum += vec2<f32>(dot(d, vec4<f32>(1.0)), dot(d, d));
  }
  parts[local] = sum;
  workgroupBarrier();
  if (local % SHARERS != 0u || row >= ROWS) { return; }
  for (var i = 1u; i < SHARERS; i++) { sum += parts[local + i]; }
  let mean = sum.x / f32(WIDTH);
  let variance = max(sum.y / f32(WIDTH) - mean * mean, 0.0);
  moments[row] = vec2<f32>(mean + shift, inverseSqrt(variance + EPSILON));
}
