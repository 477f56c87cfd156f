// Sums of columns over the rows of each batch entry, CHUNK rows per workgroup. A second dispatch
// adds the chunks' sums, always in the same order. LANES invocations share a column's rows; with
// more than one, a tree in workgroup memory adds them (SHARED).
const ROWS: u32 = 40100u;  // of a batch entry
const WIDTH: u32 = 256u;
const CHUNK: u32 = 314u;
const LANES: u32 = 16u;
const WORKGROUP: u32 = 256u;
const SCALE_0: f32 = 1.0;  // of the sums of each batch entry
const SCALE_1: f32 = 1.0;
const SCALE_2: f32 = 1.0;
const SCALE_3: f32 = 1.0;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [batch, ROWS, WIDTH]
// [batch, ROWS / CHUNK rounded up, WIDTH]
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;

//#if SHARED
var<workgroup> partial: array<vec4<f32>, WORKGROUP>;
//#endif

@compute @workgroup_size(WORKGROUP)
fn columnSum(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  const W4 = WIDTH / 4u;
  const COLUMNS = WORKGROUP / LANES;
  const CHUNKS = (ROWS + CHUNK - 1u) / CHUNK;
  const SCALES = vec4<f32>(SCALE_0, SCALE_1, SCALE_2, SCALE_3);
  let lane = local / COLUMNS;
  let column = group.x * COLUMNS + local % COLUMNS;
  let start = group.y * CHUNK;
  let end = min(start + CHUNK, ROWS);
  // lanes past the end work too, so that barriers stay uniform
  let first = group.z * ROWS * W4 + min(column, W4 - 1u);
  var sum = vec4<f32>(0.0);
  for (var row = start + lane; row < end; row += LANES) { sum += vec4<f32>(x[first + row * W4]); }
  //#if SHARED
  partial[local] = sum;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[local] += partial[local + stride * COLUMNS]; }
    workgroupBarrier();
  }
  sum = partial[local];
  //#endif
  if (lane == 0u && column < W4) { sums[(group.z * CHUNKS + group.y) * W4 + column] = sum * SCALES[min(group.z, 3u)]; }
}
