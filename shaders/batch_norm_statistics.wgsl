// Batch statistics, second stage: combines the chunks' moments, and updates the running statistics
// as PyTorch does (with the unbiased variance). The overall mean comes first, as a distance from
// the first chunk's mean. The squares of all are then the sum of the chunks' own squares and of
// count (mean - overall mean)^2. A workgroup has COLUMNS columns and LANES chunks at a time; lanes
// are added (SHARED) in a fixed order.
const WIDTH: u32 = 256u;
const COUNT: u32 = 400u;  // values of a channel
const CHUNK: u32 = 8u;  // values per chunk; the last one may have fewer
const CHUNKS: u32 = 50u;
const EPSILON: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;
const COLUMNS: u32 = 8u;
const LANES: u32 = 32u;
const WORKGROUP: u32 = 256u;  // COLUMNS * LANES

// [CHUNKS, 2 (means, squares), 3, WIDTH]
@group(0) @binding(0) var<storage, read> parts: array<vec4<f32>>;
// [3, WIDTH, 2 (mean, 1/deviation)]
@group(0) @binding(1) var<storage, read_write> stats: array<vec4<f32>>;
// [2 (means, variances), 3, WIDTH]
@group(0) @binding(2) var<storage, read_write> running: array<vec4<f32>>;

//#if SHARED
var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

fn lane_sum(value: vec4<f32>, lane: u32, local: u32) -> vec4<f32> {
  partial[local] = value;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[local] += partial[local + stride * COLUMNS]; }
    workgroupBarrier();
  }
  let sum = partial[local % COLUMNS];
  workgroupBarrier();
  return sum;
}
//#endif
//#if !SHARED
fn lane_sum(value: vec4<f32>, lane: u32, local: u32) -> vec4<f32> { return value; }
//#endif

fn count_of(chunk: u32) -> f32 { return f32(min(CHUNK, COUNT - chunk * CHUNK)); }

@compute @workgroup_size(WORKGROUP)
fn statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  const ALL = 3u * (WIDTH / 4u);  // columns of the three planes
  let lane = local / COLUMNS;
  let own_column = group.x * COLUMNS + local % COLUMNS;
  // lanes past the end work too, so that barriers stay uniform
  let column = min(own_column, ALL - 1u);
  // known only at run time: lavapipe compiles unrolled loops for seconds
  let chunks = min(CHUNKS, arrayLength(&parts));
  let shift = parts[column];
  var sum = vec4<f32>(0.0);
  for (var chunk = lane; chunk < chunks; chunk += LANES) {
    sum += count_of(chunk) * (parts[2u * chunk * ALL + column] - shift);
  }
  let mean = shift + lane_sum(sum, lane, local) / f32(COUNT);
  var squares = vec4<f32>(0.0);
  for (var chunk = lane; chunk < chunks; chunk += LANES) {
    let d = parts[2u * chunk * ALL + column] - mean;
    squares += parts[(2u * chunk + 1u) * ALL + column] + count_of(chunk) * d * d;
  }
  squares = lane_sum(squares, lane, local);
  if (lane != 0u || own_column >= ALL) { return; }
  let scale = inverseSqrt(squares / f32(COUNT) + EPSILON);
  stats[2u * column] = vec4<f32>(mean.x, scale.x, mean.y, scale.y);
  stats[2u * column + 1u] = vec4<f32>(mean.z, scale.z, mean.w, scale.w);
  running[column] = (1.0 - MOMENTUM) * running[column] + MOMENTUM * mean;
  running[column + ALL] = (1.0 - MOMENTUM) * running[column + ALL] + MOMENTUM * (squares / f32(COUNT - 1u));
}
