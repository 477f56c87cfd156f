// The three convolutional projections of a block in one pass: depthwise 3x3, padding 1, on the grid of a sample's tokens, for q, k
// and v from the same loads. BatchNorm is folded into weights and bias. The cls token in front is copied unconvolved.
const WIDTH: u32 = 256u;
const ROWS: u32 = 20u;
const COLUMNS: u32 = 20u;
const SAMPLES: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;  // [SAMPLES, 1 + ROWS*COLUMNS, WIDTH]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;  // [9 taps, 3 (q, k, v), WIDTH]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [3, WIDTH]
@group(0) @binding(3) var<storage, read_write> qkv: array<vec4<f32>>;  // [3, SAMPLES, 1 + ROWS*COLUMNS, WIDTH]

@compute @workgroup_size(64)
fn convolve(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  const TOKENS = 1u + ROWS * COLUMNS;
  const PLANE = SAMPLES * TOKENS * W4;
  if (id.x >= TOKENS * W4) { return; }
  let channel = id.x % W4;
  let token = id.x / W4;
  let first = id.y * TOKENS * W4;
  let out = first + id.x;
  if (token == 0u) {
    let cls = x[out];
    qkv[out] = cls;
    qkv[out + PLANE] = cls;
    qkv[out + 2u * PLANE] = cls;
    return;
  }
  let row = (token - 1u) / COLUMNS;
  let column = (token - 1u) % COLUMNS;
  var q = bias[channel];
  var k = bias[channel + W4];
  var v = bias[channel + 2u * W4];
  for (var dy = 0u; dy < 3u; dy++) {
    let y = row + dy;  // one too many: padding row 0 is the border
    if (y == 0u || y > ROWS) { continue; }
    for (var dx = 0u; dx < 3u; dx++) {
      let c = column + dx;
      if (c == 0u || c > COLUMNS) { continue; }
      let value = x[first + ((y - 1u) * COLUMNS + c) * W4 + channel];
      let tap = (dy * 3u + dx) * 3u * W4 + channel;
      q += value * weight[tap];
      k += value * weight[tap + W4];
      v += value * weight[tap + 2u * W4];
    }
  }
  qkv[out] = q;
  qkv[out + PLANE] = k;
  qkv[out + 2u * PLANE] = v;
}
