// Gradient of the three depthwise 3x3 convolutions by their common input: each dy through the same
// taps, rotated by 180 degrees, and all three added. So it is depthwise_conv.wgsl the other way
// round: three images in, one out. The cls token in front, which was copied three times, gets the
// sum of its three gradients. An invocation makes 4 channels of RUN tokens, one below the other:
// each weight is read once per run, each dy three times.
const WIDTH: u32 = 256u;
const ROWS: u32 = 20u;
const COLUMNS: u32 = 20u;
const SAMPLES: u32 = 1u;
const RUN: u32 = 5u;
const RUN_AND_BORDER: u32 = 7u;  // RUN + 2
alias Act = f32;  // what activations are stored as

// [3 (q, k, v), SAMPLES, 1 + ROWS*COLUMNS, WIDTH]
@group(0) @binding(0) var<storage, read> dy: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> taps: array<vec4<f32>>;  // [9, 3 (q, k, v), WIDTH]
// [SAMPLES, 1 + ROWS*COLUMNS, WIDTH]
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<Act>>;

@compute @workgroup_size(64)
fn convolveBackward(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  const TOKENS = 1u + ROWS * COLUMNS;
  const PLANE = SAMPLES * TOKENS * W4;
  if (id.x >= COLUMNS * W4) { return; }
  let channel = id.x % W4;
  let column = id.x / W4;
  let row0 = id.y * RUN;
  let first = id.z * TOKENS * W4 + channel;
  if (id.y == 0u && column == 0u) {
    dx[first] = vec4<Act>(vec4<f32>(dy[first]) + vec4<f32>(dy[first + PLANE]) + vec4<f32>(dy[first + 2u * PLANE]));
  }
  var acc: array<vec4<f32>, RUN>;
  // known only at run time: lavapipe compiles the unrolled loop for seconds
  let steps = min(9u, arrayLength(&taps));
  for (var step = 0u; step < steps; step++) {
    let plane = step / 3u;
    let kx = step % 3u;
    let c = column + kx;  // off by one: 0 is the border
    if (c == 0u || c > COLUMNS) { continue; }
    var input: array<vec4<f32>, RUN_AND_BORDER>;
    //#unroll i RUN_AND_BORDER
    {
      const i = 0u;
      let row = row0 + i;  // off by one: 0 is the border
      let at = plane * PLANE + first + (1u + (clamp(row, 1u, ROWS) - 1u) * COLUMNS + c - 1u) * W4;
      input[i] = select(vec4<f32>(0.0), vec4<f32>(dy[at]), row >= 1u && row <= ROWS);
    }
    //#end
    //#unroll ky 3
    {
      const ky = 0u;
      let weight = taps[((8u - ky * 3u - kx) * 3u + plane) * W4 + channel];
      //#unroll i RUN
      {
        const i = 0u;
        acc[i] = fma(input[i + ky], weight, acc[i]);
      }
      //#end
    }
    //#end
  }
  //#unroll i RUN
  {
    const i = 0u;
    if (row0 + i < ROWS) { dx[first + (1u + (row0 + i) * COLUMNS + column) * W4] = vec4<Act>(acc[i]); }
  }
  //#end
}
