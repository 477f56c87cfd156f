// The three convolutional projections of a block in one pass: depthwise 3x3, padding 1, on the grid
// of a sample's tokens, for q, k and v from the same loads. BatchNorm is folded into weights and
// bias, or follows in training (UNBIASED). The cls token in front is copied. An invocation makes 4
// channels of RUN tokens, one below the other: each weight is read once per run, each input three
// times.
const WIDTH: u32 = 256u;
const ROWS: u32 = 20u;
const COLUMNS: u32 = 20u;
const SAMPLES: u32 = 1u;
const RUN: u32 = 5u;
const RUN_AND_BORDER: u32 = 7u;  // RUN + 2
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [SAMPLES, 1 + ROWS*COLUMNS, WIDTH]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;  // [9 taps, 3 (q, k, v), WIDTH]
//#if !UNBIASED
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [3, WIDTH]
//#endif
// [3, SAMPLES, 1 + ROWS*COLUMNS, WIDTH]
@group(0) @binding(3) var<storage, read_write> qkv: array<vec4<Act>>;

@compute @workgroup_size(64)
fn convolve(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  const TOKENS = 1u + ROWS * COLUMNS;
  const PLANE = SAMPLES * TOKENS * W4;
  if (id.x >= COLUMNS * W4) { return; }
  let channel = id.x % W4;
  let column = id.x / W4;
  let row0 = id.y * RUN;
  let first = id.z * TOKENS * W4 + channel;
  if (id.y == 0u && column == 0u) {
    let cls = x[first];
    qkv[first] = cls;
    qkv[first + PLANE] = cls;
    qkv[first + 2u * PLANE] = cls;
  }
  var q: array<vec4<f32>, RUN>;
  var k: array<vec4<f32>, RUN>;
  var v: array<vec4<f32>, RUN>;
  //#if !UNBIASED
  //#unroll i RUN
  {
    const i = 0u;
    q[i] = bias[channel];
    k[i] = bias[channel + W4];
    v[i] = bias[channel + 2u * W4];
  }
  //#end
  //#endif
  // known only at run time: lavapipe compiles the unrolled loop for seconds
  let taps = min(3u, arrayLength(&weight));
  for (var dx = 0u; dx < taps; dx++) {
    let c = column + dx;  // off by one: 0 is the border
    if (c == 0u || c > COLUMNS) { continue; }
    var input: array<vec4<f32>, RUN_AND_BORDER>;
    //#unroll i RUN_AND_BORDER
    {
      const i = 0u;
      let row = row0 + i;  // off by one: 0 is the border
      let at = first + (1u + (clamp(row, 1u, ROWS) - 1u) * COLUMNS + c - 1u) * W4;
      input[i] = select(vec4<f32>(0.0), vec4<f32>(x[at]), row >= 1u && row <= ROWS);
    }
    //#end
    //#unroll dy 3
    {
      const dy = 0u;
      let tap = (dy * 3u + dx) * 3u * W4 + channel;
      let wq = weight[tap];
      let wk = weight[tap + W4];
      let wv = weight[tap + 2u * W4];
      //#unroll i RUN
      {
        const i = 0u;
        q[i] = fma(input[i + dy], wq, q[i]);
        k[i] = fma(input[i + dy], wk, k[i]);
        v[i] = fma(input[i + dy], wv, v[i]);
      }
      //#end
    }
    //#end
  }
  //#unroll i RUN
  {
    const i = 0u;
    if (row0 + i < ROWS) {
      let out = first + (1u + (row0 + i) * COLUMNS + column) * W4;
      qkv[out] = vec4<Act>(q[i]);
      qkv[out + PLANE] = vec4<Act>(k[i]);
      qkv[out + 2u * PLANE] = vec4<Act>(v[i]);
    }
  }
  //#end
}
