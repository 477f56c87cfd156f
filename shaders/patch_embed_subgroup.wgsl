// patch_embed.wgsl for the software adapters, on the plan of linear_subgroup.wgsl: one subgroup makes ROWS kept tokens by LANES * 8 columns; a
// lane reads the pixels of its own tokens, normalises them, and they go round by broadcast. DIRECT as there.
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
const PIXELS: u32 = 1u;  // of a turn: a divisor of PATCH
alias Act = f32;  // what weights and activations are stored as

struct Sample { previous: u32, current: u32, next: u32, before: u32, after: u32, target_: u32, frame: u32, unused: u32 }

@group(0) @binding(0) var<storage, read> frames: array<u32>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> idsKeep: array<u32>;  // [samples, KEEP]
@group(0) @binding(3) var<storage, read> weight: array<vec4<Act>>;  // [WIDTH / (LANES*STRIPS*4), 3 frames, P, P, LANES, 3 channels, STRIPS] vec4 of columns
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;  // [WIDTH]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Act>>;  // [samples, KEEP, WIDTH]

@compute @workgroup_size(LANES)
fn patchEmbed(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const W4 = WIDTH / 4u;
  const IMAGE = TOKENS * PATCH * PATCH;
  const STEP = LANES * 3u * STRIPS;
  let width = GRID_WIDTH * PATCH;
  let row0 = group.y * ROWS;
  var corner: array<u32, ROW_GROUPS>;
  //#unroll j ROW_GROUPS
  {
    const j = 0u;
    let token = idsKeep[group.z * KEEP + min(row0 + j * LANES + lane, KEEP - 1u)];
    corner[j] = (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
  }
  //#end
  var sums: array<vec4<f32>, ROWS * STRIPS>;
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
          pixel[p * ROW_GROUPS + j] = unpack4x8unorm(frames[offset + p + corner[j]]) * 2.0 - 1.0;
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
            sums[r * STRIPS] = fma(value, w0[p * 3u + c], sums[r * STRIPS]);
            if (STRIPS == 2u) { sums[r * STRIPS + STRIPS - 1u] = fma(value, w1[p * 3u + c], sums[r * STRIPS + STRIPS - 1u]); }
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
      y[(group.z * KEEP + row0 + min(r, rows - 1u)) * W4 + column] = vec4<Act>(sums[r * STRIPS + s] + shift);
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
    tile[r * STRIPS] = sums[r * STRIPS];
    if (STRIPS == 2u) { tile[r * STRIPS + STRIPS - 1u] = sums[r * STRIPS + STRIPS - 1u]; }
  }
  //#end
  let end = min(ROWS, KEEP - row0) * STRIPS;  // known at run time only, so that no compiler unrolls the loop
  for (var i = 0u; i < end; i++) {
    let column = group.x * LANES * STRIPS + lane + (i % STRIPS) * LANES;
    y[(group.z * KEEP + row0 + i / STRIPS) * W4 + column] = vec4<Act>(tile[i] + bias[column]);
  }
  //#endif
}
