// Both errors' means over a sample's tokens: all tokens, or (MASKED_ONLY) the removed ones. One
// workgroup per sample.
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const WORKGROUP: u32 = 64u;

@group(0) @binding(0) var<storage, read> errors: array<vec2<f32>>;  // [samples, TOKENS]
//#if MASKED_ONLY
@group(0) @binding(1) var<storage, read> idsRestore: array<u32>;  // [samples, TOKENS]
//#endif
@group(0) @binding(2) var<storage, read_write> scores: array<vec2<f32>>;  // [samples]

var<workgroup> partial: array<vec3<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn frameScores(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var sum = vec3<f32>(0.0);
  for (var token = lane; token < TOKENS; token += WORKGROUP) {
    let at = group.x * TOKENS + token;
    //#if MASKED_ONLY
    if (idsRestore[at] < KEEP) { continue; }
    //#endif
    sum += vec3<f32>(errors[at], 1.0);
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  if (lane == 0u) { scores[group.x] = partial[0].xy / partial[0].z; }
}
