// head_errors.wgsl (the ladder is there) for the software adapters, planned like
// linear_subgroup.wgsl: one subgroup takes ROWS tokens and walks over their pixels, LANES * STRIPS
// at a time. With DIRECT it compares a tile of predictions at once; without, it copies the tile to
// indexable memory and compares in a loop.
enable subgroups;
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const WIDTH: u32 = 128u;
const ABSOLUTE: bool = false;
const LANES: u32 = 4u;  // the subgroup's size
const ROWS: u32 = 16u;
const ROW_GROUPS: u32 = 4u;  // ROWS / LANES, rounded up
const STRIPS: u32 = 2u;
alias Act = f32;  // what features and weights are stored as

//#include "common/sample.wgsl"

// [samples, 1 + TOKENS, WIDTH] normalised
@group(0) @binding(0) var<storage, read> teacher: array<vec4<Act>>;
// [1 or 2 (teacher, student)] as in linear_subgroup.wgsl, N = P*P*4
@group(0) @binding(1) var<storage, read> weight: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [1 or 2, P*P, 4]
//#if STUDENT
@group(0) @binding(3) var<storage, read> student: array<vec4<Act>>;
//#endif
@group(0) @binding(6) var<storage, read> targets: array<u32>;  // [slots, H, W]
@group(0) @binding(7) var<storage, read> samples: array<Sample>;
// [samples, TOKENS] (student, target)
@group(0) @binding(8) var<storage, read_write> errors: array<vec2<f32>>;

//#include "common/difference.wgsl"

//#if DIRECT
fn subgroup_sum(value: vec2<f32>) -> vec2<f32> {
  var result = vec2<f32>(0.0);
  //#unroll l LANES
  {
    const l = 0u;
    result += subgroupBroadcast(value, l);
  }
  //#end
  return result;
}
//#endif
//#if !DIRECT
fn subgroup_sum(value: vec2<f32>) -> vec2<f32> {
  var result = value;
  for (var step = 1u; step < LANES; step *= 2u) { result += subgroupShuffleXor(result, step); }
  return result;
}
//#endif

@compute @workgroup_size(LANES)
fn headErrors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const PIXELS = PATCH * PATCH;
  const W4 = WIDTH / 4u;
  let width = GRID_WIDTH * PATCH;
  let image = samples[group.y].target_ * TOKENS * PIXELS;
  let row0 = group.x * ROWS;
  var row_at: array<u32, ROW_GROUPS>;
  //#unroll j ROW_GROUPS
  {
    const j = 0u;
    row_at[j] = (group.y * (1u + TOKENS) + 1u + min(row0 + j * LANES + lane, TOKENS - 1u)) * W4;
  }
  //#end
  //#if DIRECT
  // Rows beyond the last one are copies of it and are stored over it.
  var origin: array<u32, ROWS>;
  //#unroll r ROWS
  {
    const r = 0u;
    let token = min(row0 + r, TOKENS - 1u);
    origin[r] = image + (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
  }
  //#end
  //#endif
  //#if !DIRECT
  // known only at run time, so that no compiler unrolls the loops over it
  let rows = min(ROWS, TOKENS - row0);
  var tile: array<vec4<f32>, ROWS * STRIPS>;
  //#endif
  var error: array<vec2<f32>, ROWS>;
  for (var pixel0 = 0u; pixel0 < PIXELS; pixel0 += LANES * STRIPS) {
    var acc: array<vec4<f32>, ROWS * STRIPS>;
    // Set explicitly: Dawn zeroes a variable only in the first iteration of a loop.
    //#unroll r ROWS
    {
      const r = 0u;
      acc[r * STRIPS] = vec4<f32>(0.0);
      acc[r * STRIPS + STRIPS - 1u] = vec4<f32>(0.0);
    }
    //#end
    for (var k4 = 0u; k4 < W4; k4++) {
      var a: array<vec4<f32>, ROW_GROUPS>;
      //#unroll j ROW_GROUPS
      {
        const j = 0u;
        a[j] = vec4<f32>(teacher[row_at[j] + k4]);
      }
      //#end
      let w = (pixel0 / STRIPS * W4 + k4 * LANES + lane) * 4u * STRIPS;
      var w0: array<vec4<f32>, 4>;
      var w1: array<vec4<f32>, 4>;
      //#unroll k 4
      {
        const k = 0u;
        w0[k] = vec4<f32>(weight[w + k * STRIPS]);
        w1[k] = vec4<f32>(weight[w + k * STRIPS + STRIPS - 1u]);
      }
      //#end
      //#unroll r ROWS
      {
        const r = 0u;
        //#unroll k 4
        {
          const k = 0u;
          let value = vec4<f32>(subgroupBroadcast(a[r / LANES][k], r % LANES));
          acc[r * STRIPS] = fma(value, w0[k], acc[r * STRIPS]);
          if (STRIPS == 2u) { acc[r * STRIPS + STRIPS - 1u] = fma(value, w1[k], acc[r * STRIPS + STRIPS - 1u]); }
        }
        //#end
      }
      //#end
    }
    //#if DIRECT
    //#unroll s STRIPS
    {
      const s = 0u;
      let pixel = pixel0 + s * LANES + lane;
      let shift = bias[pixel];
      let offset = pixel / PATCH * width + pixel % PATCH;
      //#unroll r ROWS
      {
        const r = 0u;
        let target_pixel = unpack4x8unorm(targets[origin[r] + offset]) * 2.0 - 1.0;
        error[r].y += difference(target_pixel, acc[r * STRIPS + s] + shift);
      }
      //#end
    }
    //#end
    //#endif
    //#if !DIRECT
    //#unroll r ROWS
    {
      const r = 0u;
      tile[r * STRIPS] = acc[r * STRIPS];
      if (STRIPS == 2u) { tile[r * STRIPS + STRIPS - 1u] = acc[r * STRIPS + STRIPS - 1u]; }
    }
    //#end
    for (var s = 0u; s < STRIPS; s++) {
      let pixel = pixel0 + s * LANES + lane;
      let shift = bias[pixel];
      let offset = image + (pixel / PATCH) * width + pixel % PATCH;
      for (var r = 0u; r < rows; r++) {
        let token = row0 + r;
        let origin = (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
        let target_pixel = unpack4x8unorm(targets[offset + origin]) * 2.0 - 1.0;
        error[r].y += difference(target_pixel, tile[r * STRIPS + s] + shift);
      }
    }
    //#endif
    //#if STUDENT
    for (var k4 = 0u; k4 < W4; k4++) {
      var a: array<vec4<f32>, ROW_GROUPS>;
      //#unroll j ROW_GROUPS
      {
        const j = 0u;
        a[j] = -vec4<f32>(student[row_at[j] + k4]);
      }
      //#end
      let w = WIDTH * PIXELS + (pixel0 / STRIPS * W4 + k4 * LANES + lane) * 4u * STRIPS;
      var w0: array<vec4<f32>, 4>;
      var w1: array<vec4<f32>, 4>;
      //#unroll k 4
      {
        const k = 0u;
        w0[k] = vec4<f32>(weight[w + k * STRIPS]);
        w1[k] = vec4<f32>(weight[w + k * STRIPS + STRIPS - 1u]);
      }
      //#end
      //#unroll r ROWS
      {
        const r = 0u;
        //#unroll k 4
        {
          const k = 0u;
          let value = vec4<f32>(subgroupBroadcast(a[r / LANES][k], r % LANES));
          acc[r * STRIPS] = fma(value, w0[k], acc[r * STRIPS]);
          if (STRIPS == 2u) { acc[r * STRIPS + STRIPS - 1u] = fma(value, w1[k], acc[r * STRIPS + STRIPS - 1u]); }
        }
        //#end
      }
      //#end
    }
    //#if DIRECT
    //#unroll s STRIPS
    {
      const s = 0u;
      let pixel = pixel0 + s * LANES + lane;
      let shift = bias[PIXELS + pixel] - bias[pixel];
      //#unroll r ROWS
      {
        const r = 0u;
        error[r].x += difference(acc[r * STRIPS + s], shift);
      }
      //#end
    }
    //#end
    //#endif
    //#if !DIRECT
    //#unroll r ROWS
    {
      const r = 0u;
      tile[r * STRIPS] = acc[r * STRIPS];
      if (STRIPS == 2u) { tile[r * STRIPS + STRIPS - 1u] = acc[r * STRIPS + STRIPS - 1u]; }
    }
    //#end
    for (var s = 0u; s < STRIPS; s++) {
      let pixel = pixel0 + s * LANES + lane;
      let shift = bias[PIXELS + pixel] - bias[pixel];
      for (var r = 0u; r < rows; r++) { error[r].x += difference(tile[r * STRIPS + s], shift); }
    }
    //#endif
    //#endif
  }
  //#if DIRECT
  //#unroll r ROWS
  {
    const r = 0u;
    let sum = subgroup_sum(error[r]);
    if (lane == 0u) { errors[group.y * TOKENS + min(row0 + r, TOKENS - 1u)] = sum / f32(PIXELS * 4u); }
  }
  //#end
  //#endif
  //#if !DIRECT
  for (var r = 0u; r < rows; r++) {
    let sum = subgroup_sum(error[r]);
    if (lane == 0u) { errors[group.y * TOKENS + row0 + r] = sum / f32(PIXELS * 4u); }
  }
  //#endif
}
