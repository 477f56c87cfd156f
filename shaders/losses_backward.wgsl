// The gradient of losses.wgsl by the errors; the error that the loss does not use gets 0. One
// workgroup per sample. Not WEIGHTED: each sample's ranks are a permutation, so the removed tokens
// of the batch need no counting.
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const SAMPLES: u32 = 1u;
const WHICH: u32 = 1u;  // 0: teacher against student, 1: target against teacher
const WORKGROUP: u32 = 64u;
alias Sum = f32;

//#if WEIGHTED
@group(0) @binding(0) var<storage, read> weights: array<f32>;  // [SAMPLES, TOKENS]
//#endif
//#if !WEIGHTED
@group(0) @binding(1) var<storage, read> idsRestore: array<u32>;  // [SAMPLES, TOKENS]
//#endif
@group(0) @binding(2) var<storage, read> dLoss: array<f32>;  // [1]
@group(0) @binding(3) var<storage, read_write> dErrors: array<vec2<f32>>;  // [SAMPLES, TOKENS]

//#if WEIGHTED
//#include "common/workgroup_sum.wgsl"
//#endif

@compute @workgroup_size(WORKGROUP)
fn lossesBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * TOKENS;
  let outer = dLoss[0];
  //#if WEIGHTED
  var own = 0.0;
  for (var token = lane; token < TOKENS; token += WORKGROUP) { own += weights[first + token]; }
  let sum = workgroup_sum(own, lane);
  //#endif
  for (var at = first + lane; at < first + TOKENS; at += WORKGROUP) {
    var slope = 0.0;
    //#if WEIGHTED
    slope = outer * select(1.0 / f32(TOKENS), weights[at] / sum, sum > 0.0);
    //#endif
    //#if !WEIGHTED
    if (idsRestore[at] >= KEEP) { slope = outer / f32(SAMPLES * (TOKENS - KEEP)); }
    //#endif
    dErrors[at] = select(vec2<f32>(0.0, slope), vec2<f32>(slope, 0.0), WHICH == 0u);
  }
}
