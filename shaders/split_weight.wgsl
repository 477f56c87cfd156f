// Splits a weight into pairs of float16, high + low, for kernels that multiply float32 on matrix
// units (see linear_split.wgsl). It runs before them in every step: a hundredth of their work.
// Without it their loops would convert each weight once per tile of rows; now they copy.
//
// Sixteen of a column's weights are four vec4s: eight high parts, eight more, then the low parts.
enable f16;
const COLUMNS: u32 = 256u;
const SCALE: f32 = 1024.0;  // keeps low parts out of the subnormals

@group(0) @binding(0) var<storage, read> weight: array<f32>;  // [rows, COLUMNS]
@group(0) @binding(1) var<storage, read_write> parts: array<vec4<u32>>;  // [rows / 16, COLUMNS, 4]

fn value(row: u32, column: u32) -> f32 {
  //#if PIXELS
  // The order in which patch_embed_split.wgsl has the values of eight pixels: B and R of one after
  // another, then G of all.
  let i = row % 24u;
  let own = row - i + select(3u * (max(i, 16u) - 16u) + 1u, 3u * (i / 2u) + 2u * (i % 2u), i < 16u);
  return weight[own * COLUMNS + column] * SCALE;
  //#endif
  //#if !PIXELS
  return weight[row * COLUMNS + column] * SCALE;
  //#endif
}

// As in common/high_part.wgsl, of two values.
fn high_part(v: vec2<f32>) -> vec2<f32> {
  return bitcast<vec2<f32>>(bitcast<vec2<u32>>(v) & vec2<u32>(0xffffe000u));
}

@compute @workgroup_size(64)
fn splitWeight(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= COLUMNS) { return; }
  let to = (id.y * COLUMNS + id.x) * 4u;
  for (var eight = 0u; eight < 2u; eight++) {
    var high: vec4<u32>;
    var low: vec4<u32>;
    for (var i = 0u; i < 4u; i++) {
      let row = id.y * 16u + eight * 8u + i * 2u;
      let v = vec2<f32>(value(row, id.x), value(row + 1u, id.x));
      high[i] = bitcast<u32>(vec2<f16>(high_part(v)));
      low[i] = bitcast<u32>(vec2<f16>(v - high_part(v)));
    }
    parts[to + eight] = high;
    parts[to + 2u + eight] = low;
  }
}
