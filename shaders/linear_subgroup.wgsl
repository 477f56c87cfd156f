// linear.wgsl for the software adapters. There a storage load costs as much as dozens of multiply-adds in registers, whatever its
// pattern, and a broadcast inside of a subgroup next to nothing. So one subgroup, a whole workgroup, makes a large tile in
// registers: ROWS rows by LANES * 8 columns (STRIPS = 2 strips of a vec4 a lane). Each lane loads 4 k of its own rows and its own columns' weights;
// the rows' values go round by broadcast. What follows the sums is a loop over the tile, copied to indexable memory first: unrolled
// as the sums are, it would be most of the code and the compile time (a minute on lavapipe).
enable subgroups;
const M: u32 = 201u;  // rows of x in one batch entry
const N: u32 = 256u;  // a multiple of LANES * STRIPS * 4
const K: u32 = 256u;
const PERIOD: u32 = 201u;  // rows of a sample, for PASSTHROUGH
const LANES: u32 = 4u;  // the subgroup's size
const ROWS: u32 = 16u;
const ROW_GROUPS: u32 = 4u;  // ROWS / LANES, rounded up
const STRIPS: u32 = 2u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> weight: array<vec4<Act>>;  // [batch, N / (LANES*STRIPS*4), K / 4, LANES, 4 k, STRIPS] vec4 of columns
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [batch, N]
//#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<vec4<Act>>;  // [batch, M, N]
//#endif
//#if PASSTHROUGH
@group(0) @binding(4) var<storage, read> passthrough: array<vec4<Act>>;  // [batch, M, N]: stands for x W + b in every PERIOD-th row
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Act>>;  // [batch, M, N]

//#if GELU
// erf to 1.5e-7 (Abramowitz & Stegun 7.1.26): WGSL has none.
fn erf(v: vec4<f32>) -> vec4<f32> {
  let a = abs(v);
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(v) * (1.0 - poly * exp(-a * a));
}
//#endif

@compute @workgroup_size(LANES)
fn linear(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  let row0 = group.y * ROWS;
  var rowAt: array<u32, ROW_GROUPS>;
  //#unroll j ROW_GROUPS
  {
    const j = 0u;
    rowAt[j] = (group.z * M + min(row0 + j * LANES + lane, M - 1u)) * K4;
  }
  //#end
  let weightAt = ((group.z * (N4 / (LANES * STRIPS)) + group.x) * K4 * LANES + lane) * 4u * STRIPS;
  var sums: array<vec4<f32>, ROWS * STRIPS>;
  for (var k4 = 0u; k4 < K4; k4++) {
    var a: array<vec4<f32>, ROW_GROUPS>;
    //#unroll j ROW_GROUPS
    {
      const j = 0u;
      a[j] = vec4<f32>(x[rowAt[j] + k4]);
    }
    //#end
    let w = weightAt + k4 * LANES * 4u * STRIPS;
    //#unroll k 4
    {
      const k = 0u;
      let w0 = vec4<f32>(weight[w + k * STRIPS]);
      let w1 = vec4<f32>(weight[w + k * STRIPS + STRIPS - 1u]);
      //#unroll r ROWS
      {
        const r = 0u;
        let value = vec4<f32>(subgroupBroadcast(a[r / LANES][k], r % LANES));
        sums[r * STRIPS] = fma(value, w0, sums[r * STRIPS]);
        if (STRIPS == 2u) { sums[r * STRIPS + STRIPS - 1u] = fma(value, w1, sums[r * STRIPS + STRIPS - 1u]); }
      }
      //#end
    }
    //#end
  }
  var tile: array<vec4<f32>, ROWS * STRIPS>;
  //#unroll r ROWS
  {
    const r = 0u;
    tile[r * STRIPS] = sums[r * STRIPS];
    if (STRIPS == 2u) { tile[r * STRIPS + STRIPS - 1u] = sums[r * STRIPS + STRIPS - 1u]; }
  }
  //#end
  let end = min(ROWS, M - row0) * STRIPS;  // known at run time only, so that no compiler unrolls the loop
  for (var i = 0u; i < end; i++) {
    let row = row0 + i / STRIPS;
    let column = group.x * LANES * STRIPS + lane + (i % STRIPS) * LANES;
    let at = (group.z * M + row) * N4 + column;
    var result = tile[i] + bias[group.z * N4 + column];
    //#if GELU
    result = 0.5 * result * (1.0 + erf(result * 0.70710678));
    //#endif
    //#if PASSTHROUGH
    if (row % PERIOD == 0u) { result = vec4<f32>(passthrough[at]); }
    //#endif
    //#if RESIDUAL
    result += vec4<f32>(residual[at]);
    //#endif
    y[at] = vec4<Act>(result);
  }
}
