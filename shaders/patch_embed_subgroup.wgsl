// patch_embed.wgsl (the ladder is there) for the software adapters, planned like
// linear_subgroup.wgsl: one subgroup makes ROWS kept tokens by LANES * 8 columns. A lane reads and
// normalises the pixels of its own tokens, and they are broadcast. DIRECT as there.
enable subgroups;
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const WIDTH: u32 = 256u;  // a multiple of LANES * STRIPS * 4
const LANES: u32 = 4u;  // the subgroup's size
const ROWS: u32 = 16u;
const ROW_GROUPS: u32 = 4u;  // ROWS / LANES, rounded up
const STRIPS: u32 = 2u;
const PIXELS: u32 = 1u;  // per iteration: a divisor of PATCH
alias Act = f32;  // what weights and activations are stored as

//#include "common/sample.wgsl"

@group(0) @binding(0) var<storage, read> frames: array<u32>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> idsKeep: array<u32>;  // [samples, KEEP]
// [WIDTH / (LANES*STRIPS*4), 3 frames, P, P, LANES, 3 channels, STRIPS] vec4 of columns
@group(0) @binding(3) var<storage, read> weight: array<vec4<Act>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;  // [WIDTH]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Act>>;  // [samples, KEEP, WIDTH]

@compute @workgroup_size(LANES)
fn patchEmbed(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const W4 = WIDTH / 4u;
  const IMAGE = TOKENS * PATCH * PATCH;
  const STEP = LANES * 3u * STRIPS;
  let width = GRID_WIDTH * PATCH;
  let row0 = group.y * ROWS;
  var origin: array<u32, ROW_GROUPS>;
  //#unroll j ROW_GROUPS
  {
    const j = 0u;
    let token = idsKeep[group.z * KEEP + min(row0 + j * LANES + lane, KEEP - 1u)];
    origin[j] = (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
  }
  //#end
  var acc: array<vec4<f32>, ROWS * STRIPS>;
  var w = group.x * 3u * PATCH * PATCH * STEP + lane * 3u * STRIPS;
  for (var t = 0u; t < 3u; t++) {
    let slot = select(select(samples[group.z].next, samples[group.z].current, t == 1u), samples[group.z].previous, t == 0u);
    for (var i = 0u; i < PATCH * PATCH; i += PIXELS) {
      let offset = slot * IMAGE + (i / PATCH) * width + i % PATCH;
      var pixel: array<vec4<f32>, ROW_GROUPS * PIXELS>;
      var w0: array<vec4<f32>, 3u * PIXELS>;
      var w1: array<vec4<f32>, 3u * PIXELS>;
      //#unroll p PIXELS
      {
        const p = 0u;
        //#unroll j ROW_GROUPS
        {
          const j = 0u;
          pixel[p * ROW_GROUPS + j] = unpack4x8unorm(frames[offset + p + origin[j]]) * 2.0 - 1.0;
        }
        //#end
        //#unroll c 3
        {
          const c = 0u;
          w0[p * 3u + c] = vec4<f32>(weight[w + p * STEP + c * STRIPS]);
          w1[p * 3u + c] = vec4<f32>(weight[w + p * STEP + c * STRIPS + STRIPS - 1u]);
        }
        //#end
      }
      //#end
      //#unroll r ROWS
      {
        const r = 0u;
        //#unroll p PIXELS
        {
          const p = 0u;
          //#unroll c 3
          {
            const c = 0u;
            let value = vec4<f32>(subgroupBroadcast(pixel[p * ROW_GROUPS + r / LANES][c], r % LANES));
            acc[r * STRIPS] = fma(value, w0[p * 3u + c], acc[r * STRIPS]);
            if (STRIPS == 2u) { acc[r * STRIPS + STRIPS - 1u] = fma(value, w1[p * 3u + c], acc[r * STRIPS + STRIPS - 1u]); }
          }
          //#end
        }
        //#end
      }
      //#end
      w += PIXELS * STEP;
    }
  }
  //#if DIRECT
  let rows = min(ROWS, KEEP - row0);
  //#unroll s STRIPS
  {
    const s = 0u;
    let column = (group.x * STRIPS + s) * LANES + lane;
    let shift = bias[column];
    //#unroll r ROWS
    {
      const r = 0u;
      // Rows beyond the last one are copies of it and are stored over it.
      y[(group.z * KEEP + row0 + min(r, rows - 1u)) * W4 + column] = vec4<Act>(acc[r * STRIPS + s] + shift);
    }
    //#end
  }
  //#end
  //#endif
  //#if !DIRECT
  var tile: array<vec4<f32>, ROWS * STRIPS>;
  //#unroll r ROWS
  {
    const r = 0u;
    tile[r * STRIPS] = acc[r * STRIPS];
    if (STRIPS == 2u) { tile[r * STRIPS + STRIPS - 1u] = acc[r * STRIPS + STRIPS - 1u]; }
  }
  //#end
  // known only at run time, so that no compiler unrolls the loop
  let end = min(ROWS, KEEP - row0) * STRIPS;
  for (var i = 0u; i < end; i++) {
    let column = group.x * LANES * STRIPS + lane + (i % STRIPS) * LANES;
    y[(group.z * KEEP + row0 + i / STRIPS) * W4 + column] = vec4<Act>(tile[i] + bias[column]);
  }
  //#endif
}
