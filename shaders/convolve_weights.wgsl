// Gradients of the weights of the three depthwise 3x3 convolutions, first stage: for each tap, the
// sum over STRIPS rows of a sample's grid of dy times the tap's input. An invocation has 4 channels
// of one convolution and slides a window of 3x3 inputs along each row: a step reads one new column
// of the window and one dy. Neighbours have neighbouring channels.
const WIDTH: u32 = 256u;
const ROWS: u32 = 20u;
const COLUMNS: u32 = 20u;
const SAMPLES: u32 = 1u;
const STRIPS: u32 = 1u;
const CHUNKS: u32 = 20u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [SAMPLES, 1 + ROWS*COLUMNS, WIDTH]
// [3 (q, k, v), SAMPLES, 1 + ROWS*COLUMNS, WIDTH]
@group(0) @binding(1) var<storage, read> dy: array<vec4<Act>>;
// [CHUNKS, 9 taps, 3, WIDTH]
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>;

@compute @workgroup_size(64)
fn weightSums(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  const TOKENS = 1u + ROWS * COLUMNS;
  if (id.x >= CHUNKS * W4) { return; }
  let channel = id.x % W4;
  let chunk = id.x / W4;
  let plane = id.y;
  // known only at run time: lavapipe compiles unrolled loops for seconds
  let columns = min(COLUMNS, arrayLength(&x));
  let end = min((chunk + 1u) * STRIPS, SAMPLES * ROWS);
  var acc: array<vec4<f32>, 9>;
  for (var strip = chunk * STRIPS; strip < end; strip++) {
    let row = strip % ROWS;
    let tokens = strip / ROWS * TOKENS + 1u;  // where the sample's grid begins
    let first = (tokens + row * COLUMNS) * W4 + channel;
    // Three columns of three, the left one first: the grid's columns step - 2 to step; dy is at the
    // middle one.
    var window: array<vec4<f32>, 9>;
    for (var step = 0u; step <= columns; step++) {
      //#unroll ky 3
      {
        const ky = 0u;
        let input_row = row + ky;  // off by one: 0 is the border
        let in_range = step < columns && input_row >= 1u && input_row <= ROWS;
        let at = tokens + (clamp(input_row, 1u, ROWS) - 1u) * COLUMNS + min(step, columns - 1u);
        window[6u + ky] = select(vec4<f32>(0.0), vec4<f32>(x[at * W4 + channel]), in_range);
      }
      //#end
      if (step > 0u) {
        let g = vec4<f32>(dy[plane * SAMPLES * TOKENS * W4 + first + (step - 1u) * W4]);
        //#unroll i 9
        {
          const i = 0u;
          acc[i] = fma(g, window[i], acc[i]);
        }
        //#end
      }
      //#unroll i 6
      {
        const i = 0u;
        window[i] = window[i + 3u];
      }
      //#end
    }
  }
  //#unroll i 9
  {
    const i = 0u;
    const tap = i % 3u * 3u + i / 3u;  // row first in the weights, column first in the window
    parts[((chunk * 9u + tap) * 3u + plane) * W4 + channel] = acc[i];
  }
  //#end
}
