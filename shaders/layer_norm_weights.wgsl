// LayerNorm's gradients by gamma and beta, first stage: sums of dy (x - mean)/std and of dy over
// CHUNK rows, by column. A workgroup first finds its rows' means and deviations, LANES invocations
// per row, in two passes as the forward kernel does. Then each invocation has a column (4 channels)
// and walks down the rows. FRONT is 1 if dy has a token in front of each sample.
const WIDTH: u32 = 256u;
const ROWS: u32 = 400u;  // all rows of x
const SAMPLE_ROWS: u32 = 400u;  // rows of a sample in x
const FRONT: u32 = 0u;
const EPSILON: f32 = 1e-6;
const CHUNK: u32 = 32u;  // at most WORKGROUP
const LANES: u32 = 16u;
const WORKGROUP: u32 = 64u;
const PARTIALS: u32 = 512u;  // CHUNK * LANES
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;
// [chunks, 2 (gamma's, beta's), WIDTH]
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>;

var<workgroup> partial: array<f32, PARTIALS>;
var<workgroup> means: array<f32, CHUNK>;
var<workgroup> scales: array<f32, CHUNK>;

fn row_mean(row: u32) -> f32 {
  var sum = 0.0;
  for (var lane = 0u; lane < LANES; lane++) { sum += partial[row * LANES + lane]; }
  return sum / f32(WIDTH);
}

@compute @workgroup_size(WORKGROUP)
fn weightSums(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  // known only at run time: lavapipe compiles unrolled loops for seconds
  let W4 = min(WIDTH / 4u, arrayLength(&x));
  let first_row = group.x * CHUNK;
  let rows = min(CHUNK, ROWS - first_row);
  let lane = local % LANES;
  for (var r = local / LANES; r < rows; r += WORKGROUP / LANES) {
    var sum = vec4<f32>(0.0);
    for (var i = lane; i < W4; i += LANES) { sum += vec4<f32>(x[(first_row + r) * W4 + i]); }
    partial[r * LANES + lane] = dot(sum, vec4<f32>(1.0));
  }
  workgroupBarrier();
  if (local < rows) { means[local] = row_mean(local); }
  workgroupBarrier();
  for (var r = local / LANES; r < rows; r += WORKGROUP / LANES) {
    var squares = vec4<f32>(0.0);
    for (var i = lane; i < W4; i += LANES) {
      let d = vec4<f32>(x[(first_row + r) * W4 + i]) - means[r];
      squares += d * d;
    }
    partial[r * LANES + lane] = dot(squares, vec4<f32>(1.0));
  }
  workgroupBarrier();
  if (local < rows) { scales[local] = inverseSqrt(row_mean(local) + EPSILON); }
  workgroupBarrier();

  let column = group.y * WORKGROUP + local;
  if (column >= W4) { return; }
  var gammas = vec4<f32>(0.0);
  var betas = vec4<f32>(0.0);
  for (var r = 0u; r < rows; r++) {
    let row = first_row + r;
    let g = vec4<f32>(dy[(row + FRONT * (row / SAMPLE_ROWS + 1u)) * W4 + column]);
    gammas += g * ((vec4<f32>(x[row * W4 + column]) - means[r]) * scales[r]);
    betas += g;
  }
  parts[2u * group.x * W4 + column] = gammas;
  parts[(2u * group.x + 1u) * W4 + column] = betas;
}
