// weight_gradient.wgsl (the ladder is there) for the software adapters, planned like
// linear_subgroup.wgsl: one subgroup makes LANES * 4 rows by LANES * STRIPS * 4 columns of weights
// in registers. Each lane loads its own columns of x and dy, STEP rows at a time; dy is broadcast.
// DIRECT as there.
enable subgroups;
const M: u32 = 3208u;  // rows of a batch entry
const N: u32 = 256u;
const K: u32 = 256u;  // with two strips a multiple of LANES * 8
const CHUNK: u32 = 247u;
const LANES: u32 = 4u;  // the subgroup's size
const STRIPS: u32 = 2u;
const STEP: u32 = 4u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;  // [batch, M, N]
// [batch, M / CHUNK rounded up, N, K]
@group(0) @binding(2) var<storage, read_write> partial: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn weightGradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  const CHUNKS = (M + CHUNK - 1u) / CHUNK;
  let first_row = group.z / CHUNKS * M;
  let start = group.z % CHUNKS * CHUNK;
  let end = min(start + CHUNK, M);
  let column = group.x * LANES * STRIPS + lane;
  let dy_column = min(group.y * LANES + lane, N4 - 1u);
  var acc: array<vec4<f32>, LANES * 4u * STRIPS>;
  for (var m0 = start; m0 < end; m0 += STEP) {
    var a: array<vec4<f32>, STEP * STRIPS>;
    var b: array<vec4<f32>, STEP>;
    //#unroll i STEP
    {
      const i = 0u;
      let row = first_row + min(m0 + i, end - 1u);
      a[i * STRIPS] = vec4<f32>(x[row * K4 + min(column, K4 - 1u)]);
      if (STRIPS == 2u) { a[i * STRIPS + STRIPS - 1u] = vec4<f32>(x[row * K4 + column + LANES]); }
      b[i] = select(vec4<f32>(0.0), vec4<f32>(dy[row * N4 + dy_column]), m0 + i < end);
    }
    //#end
    //#unroll l LANES
    {
      const l = 0u;
      //#unroll e 4
      {
        const e = 0u;
        //#unroll i STEP
        {
          const i = 0u;
          let value = vec4<f32>(subgroupBroadcast(b[i][e], l));
          acc[(l * 4u + e) * STRIPS] = fma(value, a[i * STRIPS], acc[(l * 4u + e) * STRIPS]);
          if (STRIPS == 2u) {
            acc[(l * 4u + e) * STRIPS + STRIPS - 1u] = fma(value, a[i * STRIPS + STRIPS - 1u], acc[(l * 4u + e) * STRIPS + STRIPS - 1u]);
          }
        }
        //#end
      }
      //#end
    }
    //#end
  }
  //#if DIRECT
  let n0 = group.y * LANES * 4u;
  //#unroll s STRIPS
  {
    const s = 0u;
    let k = column + s * LANES;
    //#unroll l LANES
    {
      const l = 0u;
      //#unroll e 4
      {
        const e = 0u;
        if (k < K4 && n0 + l * 4u + e < N) { partial[(group.z * N + n0 + l * 4u + e) * K4 + k] = acc[(l * 4u + e) * STRIPS + s]; }
      }
      //#end
    }
    //#end
  }
  //#end
  //#endif
  //#if !DIRECT
  const TILE = LANES * 4u * STRIPS;
  var tile: array<vec4<f32>, TILE>;
  //#unroll l LANES
  {
    const l = 0u;
    //#unroll e 4
    {
      const e = 0u;
      tile[(l * 4u + e) * STRIPS] = acc[(l * 4u + e) * STRIPS];
      if (STRIPS == 2u) { tile[(l * 4u + e) * STRIPS + STRIPS - 1u] = acc[(l * 4u + e) * STRIPS + STRIPS - 1u]; }
    }
    //#end
  }
  //#end
  let n0 = group.y * LANES * 4u;
  // known only at run time, so that no compiler unrolls the loop
  let stored = min(LANES * 4u, N - n0) * STRIPS;
  for (var i = 0u; i < stored; i++) {
    let k = column + i % STRIPS * LANES;
    if (k < K4) { partial[(group.z * N + n0 + i / STRIPS) * K4 + k] = tile[i]; }
  }
  //#endif
}
