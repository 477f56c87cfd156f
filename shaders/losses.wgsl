// Token errors into one loss. WEIGHTED: the sum over tokens and samples of error * weight / (sum of
// the sample's weights), uniform if a sample's weights are all zero. Else the mean over the removed
// tokens of the whole batch. One workgroup; always the same bits.
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const SAMPLES: u32 = 1u;
const WHICH: u32 = 1u;  // 0: teacher against student, 1: target against teacher
const WORKGROUP: u32 = 64u;
alias Sum = vec3<f32>;

@group(0) @binding(0) var<storage, read> errors: array<vec2<f32>>;  // [SAMPLES, TOKENS]
//#if WEIGHTED
@group(0) @binding(1) var<storage, read> weights: array<f32>;  // [SAMPLES, TOKENS]
//#endif
//#if !WEIGHTED
@group(0) @binding(2) var<storage, read> idsRestore: array<u32>;  // [SAMPLES, TOKENS]
//#endif
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;  // [1]

//#include "common/workgroup_sum.wgsl"

@compute @workgroup_size(WORKGROUP)
fn losses(@builtin(local_invocation_index) lane: u32) {
  var total = 0.0;
  var removed = 0.0;
  for (var sample = 0u; sample < SAMPLES; sample++) {
    var sum = vec3<f32>(0.0);
    for (var token = lane; token < TOKENS; token += WORKGROUP) {
      let at = sample * TOKENS + token;
      let error = errors[at][WHICH];
      //#if WEIGHTED
      sum += vec3<f32>(error * weights[at], weights[at], error);
      //#endif
      //#if !WEIGHTED
      sum += select(vec3<f32>(0.0), vec3<f32>(error, 1.0, 0.0), idsRestore[at] >= KEEP);
      //#endif
    }
    sum = workgroup_sum(sum, lane);
    //#if WEIGHTED
    total += select(sum.z / f32(TOKENS), sum.x / sum.y, sum.y > 0.0);
    //#endif
    //#if !WEIGHTED
    total += sum.x;
    removed += sum.y;
    //#endif
  }
  //#if !WEIGHTED
  total /= removed;
  //#endif
  if (lane == 0u) { loss[0] = total; }
}
