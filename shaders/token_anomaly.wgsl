// Per token: the means of the predicted anomaly map, of the motion gradient (mean of the channels)
// and of their product, and the largest motion of any channel. One workgroup per token.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const PREDICTION_ROWS: u32 = 801u;
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as

// [samples, PREDICTION_ROWS, P*P] -1..1
@group(0) @binding(0) var<storage, read> prediction: array<Act>;
@group(0) @binding(1) var<storage, read> gradient: array<u32>;  // [samples, H, W] packed B, G, R
// [samples, TOKENS] anomaly 0..1, motion 0..255, product, largest
@group(0) @binding(2) var<storage, read_write> maps: array<vec4<f32>>;

var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn tokenAnomaly(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const PIXELS = PATCH * PATCH;
  let width = GRID_WIDTH * PATCH;
  let origin = (group.x / GRID_WIDTH) * PATCH * width + (group.x % GRID_WIDTH) * PATCH;
  let row = group.y * PREDICTION_ROWS + group.x + PREDICTION_ROWS - TOKENS;
  var own = vec4<f32>(0.0);
  for (var i = lane; i < PIXELS; i += WORKGROUP) {
    let anomaly = clamp(f32(prediction[row * PIXELS + i]) * 0.5 + 0.5, 0.0, 1.0);
    let at = group.y * TOKENS * PIXELS + origin + (i / PATCH) * width + i % PATCH;
    let channels = unpack4x8unorm(gradient[at]).xyz * 255.0;
    let motion = (channels.x + channels.y + channels.z) / 3.0;
    own += vec4<f32>(anomaly, motion, anomaly * motion, 0.0);
    own.w = max(own.w, max(max(channels.x, channels.y), channels.z));
  }
  partial[lane] = own;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) {
      let other = partial[lane + stride];
      let own_part = partial[lane];
      partial[lane] = vec4<f32>(own_part.xyz + other.xyz, max(own_part.w, other.w));
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    maps[group.y * TOKENS + group.x] = vec4<f32>(partial[0].xyz / f32(PIXELS), partial[0].w);
  }
}
