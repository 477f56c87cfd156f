// dy^T x of each batch entry: the gradient of a linear layer's weight. There are many rows and few
// weights. So the rows are cut into chunks; each makes a whole matrix of partial sums, and
// column_sum.wgsl adds these in order. A workgroup makes 64 x 64 weights: STEP rows of x and dy at
// a time in workgroup memory, 8 x 8 sums per invocation in registers, 64 multiply-adds for four
// vec4 loads.
//
// The ladder of this family. GFLOP/s on SwiftShader, two cores (docs/performance.md, "Training").
//   weight_gradient.wgsl           plain: tiles in workgroup memory. 1.2 to 1.4. Runs anywhere; the
//                                  default on GPUs, where it is not measured.
//   weight_gradient_subgroup.wgsl  a subgroup shares dy by broadcasts. 4.7 to 5.3. The default on
//                                  software adapters.
const M: u32 = 40100u;  // rows of a batch entry
const N: u32 = 256u;
const K: u32 = 256u;
const CHUNK: u32 = 1823u;
const STEP: u32 = 16u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;  // [batch, M, N]
// [batch, M / CHUNK rounded up, N, K]
@group(0) @binding(2) var<storage, read_write> partial: array<vec4<f32>>;

var<workgroup> x_tile: array<vec4<f32>, STEP * 16u>;
var<workgroup> dy_tile: array<vec4<f32>, STEP * 16u>;

@compute @workgroup_size(64)
fn weightGradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  const CHUNKS = (M + CHUNK - 1u) / CHUNK;
  let first_row = group.z / CHUNKS * M;
  let start = group.z % CHUNKS * CHUNK;
  let end = min(start + CHUNK, M);
  let column = local % 8u;
  let row = local / 8u;
  // [2 halves of the tile's rows, 4 n, 2 halves of its columns] vec4 of k
  var acc: array<vec4<f32>, 16>;
  for (var m0 = start; m0 < end; m0 += STEP) {
    workgroupBarrier();
    for (var i = local; i < STEP * 16u; i += 64u) {
      let m = m0 + i / 16u;
      var a = vec4<f32>(0.0);
      var b = vec4<f32>(0.0);
      if (m < end) {
        // Past the edge, load the last column: its sums are not stored.
        a = vec4<f32>(x[(first_row + m) * K4 + min(group.x * 16u + i % 16u, K4 - 1u)]);
        b = vec4<f32>(dy[(first_row + m) * N4 + min(group.y * 16u + i % 16u, N4 - 1u)]);
      }
      x_tile[i] = a;
      dy_tile[i] = b;
    }
    workgroupBarrier();
    for (var m = 0u; m < STEP; m++) {
      let x0 = x_tile[m * 16u + column];
      let x1 = x_tile[m * 16u + 8u + column];
      let d0 = dy_tile[m * 16u + row];
      let d1 = dy_tile[m * 16u + 8u + row];
      //#unroll e 4
      {
        const e = 0u;
        acc[e * 2u] = fma(vec4<f32>(d0[e]), x0, acc[e * 2u]);
        acc[e * 2u + 1u] = fma(vec4<f32>(d0[e]), x1, acc[e * 2u + 1u]);
        acc[8u + e * 2u] = fma(vec4<f32>(d1[e]), x0, acc[8u + e * 2u]);
        acc[9u + e * 2u] = fma(vec4<f32>(d1[e]), x1, acc[9u + e * 2u]);
      }
      //#end
    }
  }
  let k = group.x * 16u + column;
  //#unroll i 16
  {
    const i = 0u;
    let n = (group.y * 16u + i / 8u * 8u + row) * 4u + i / 2u % 4u;
    if (n < N && k + i % 2u * 8u < K4) { partial[(group.z * N + n) * K4 + k + i % 2u * 8u] = acc[i]; }
  }
  //#end
}
