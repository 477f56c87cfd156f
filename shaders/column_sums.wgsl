// The last stage of a reduction: sums over ROWS rows of COUNT vec4s that begin at START and are
// STRIDE vec4s apart. A workgroup has COLUMNS neighbouring columns and LANES rows at a time. Each
// lane adds every LANES-th row, then a tree adds the lanes (SHARED): always in the same order, so
// that the same bits come out.
const COUNT: u32 = 64u;
const ROWS: u32 = 512u;
const STRIDE: u32 = 64u;
const START: u32 = 0u;
const COLUMNS: u32 = 8u;
const LANES: u32 = 32u;
const WORKGROUP: u32 = 256u;  // COLUMNS * LANES
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> source: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;

//#if SHARED
var<workgroup> partial: array<vec4<f32>, WORKGROUP>;
//#endif

@compute @workgroup_size(WORKGROUP)
fn columnSums(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let column = group.x * COLUMNS + local % COLUMNS;
  let lane = local / COLUMNS;
  var sum = vec4<f32>(0.0);
  // lanes past the end work too, so that barriers stay uniform
  let rows = select(0u, ROWS, column < COUNT);
  for (var row = lane; row < rows; row += LANES) { sum += vec4<f32>(source[START + row * STRIDE + column]); }
  //#if SHARED
  partial[local] = sum;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[local] += partial[local + stride * COLUMNS]; }
    workgroupBarrier();
  }
  sum = partial[local];
  //#endif
  if (lane == 0u && column < COUNT) { sums[column] = sum; }
}
