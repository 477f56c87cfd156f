// dy^T x of each batch entry: the gradient of a linear layer's weight. There are many rows and few weights, so the rows are cut into chunks, each
// of which makes a whole matrix of partial sums; column_sum.wgsl adds these in order. A workgroup makes 64 x 64 weights: STEP rows
// of x and dy at a time in workgroup memory, 8 x 8 sums an invocation in registers, 64 multiply-adds for four vec4 loads.
const M: u32 = 40100u;  // rows of a batch entry
const N: u32 = 256u;
const K: u32 = 256u;
const CHUNK: u32 = 1823u;
const STEP: u32 = 16u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;  // [batch, M, N]
@group(0) @binding(2) var<storage, read_write> partial: array<vec4<f32>>;  // [batch, M / CHUNK rounded up, N, K]

var<workgroup> xTile: array<vec4<f32>, STEP * 16u>;
var<workgroup> dyTile: array<vec4<f32>, STEP * 16u>;

@compute @workgroup_size(64)
fn weightGradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  const CHUNKS = (M + CHUNK - 1u) / CHUNK;
  let firstRow = group.z / CHUNKS * M;
  let start = group.z % CHUNKS * CHUNK;
  let end = min(start + CHUNK, M);
  let column = local % 8u;
  let row = local / 8u;
  var sums: array<vec4<f32>, 16>;  // [2 halves of the tile's rows, 4 n, 2 halves of its columns] vec4 of k
  for (var m0 = start; m0 < end; m0 += STEP) {
    workgroupBarrier();
    for (var i = local; i < STEP * 16u; i += 64u) {
      let m = m0 + i / 16u;
      var a = vec4<f32>(0.0);
      var b = vec4<f32>(0.0);
      if (m < end) {
        // Past the matrix's edge is its last column, whose sums are not stored.
        a = vec4<f32>(x[(firstRow + m) * K4 + min(group.x * 16u + i % 16u, K4 - 1u)]);
        b = vec4<f32>(dy[(firstRow + m) * N4 + min(group.y * 16u + i % 16u, N4 - 1u)]);
      }
      xTile[i] = a;
      dyTile[i] = b;
    }
    workgroupBarrier();
    for (var m = 0u; m < STEP; m++) {
      let x0 = xTile[m * 16u + column];
      let x1 = xTile[m * 16u + 8u + column];
      let d0 = dyTile[m * 16u + row];
      let d1 = dyTile[m * 16u + 8u + row];
      //#unroll e 4
      {
        const e = 0u;
        sums[e * 2u] = fma(vec4<f32>(d0[e]), x0, sums[e * 2u]);
        sums[e * 2u + 1u] = fma(vec4<f32>(d0[e]), x1, sums[e * 2u + 1u]);
        sums[8u + e * 2u] = fma(vec4<f32>(d1[e]), x0, sums[8u + e * 2u]);
        sums[9u + e * 2u] = fma(vec4<f32>(d1[e]), x1, sums[9u + e * 2u]);
      }
      //#end
    }
  }
  let k = group.x * 16u + column;
  //#unroll i 16
  {
    const i = 0u;
    let n = (group.y * 16u + i / 8u * 8u + row) * 4u + i / 2u % 4u;
    if (n < N && k + i % 2u * 8u < K4) { partial[(group.z * N + n) * K4 + k + i % 2u * 8u] = sums[i]; }
  }
  //#end
}
