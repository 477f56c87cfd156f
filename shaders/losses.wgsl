// Sums of token errors into one loss. `weighted`: over tokens and samples of error * weight / (sum of the sample's weights), uniform where
// a sample's weights are all zero. `masked`: mean over the removed tokens of the whole batch. One workgroup; deterministic.
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const SAMPLES: u32 = 1u;
const WHICH: u32 = 1u;  // 0: teacher against student, 1: target against teacher
const WORKGROUP: u32 = 64u;

@group(0) @binding(0) var<storage, read> errors: array<vec2<f32>>;  // [SAMPLES, TOKENS]
//#if WEIGHTED
@group(0) @binding(1) var<storage, read> weights: array<f32>;  // [SAMPLES, TOKENS]
//#endif
//#if !WEIGHTED
@group(0) @binding(2) var<storage, read> idsRestore: array<u32>;  // [SAMPLES, TOKENS]
//#endif
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;  // [1]

var<workgroup> partial: array<vec3<f32>, WORKGROUP>;

fn workgroupSum(value: vec3<f32>, lane: u32) -> vec3<f32> {
  partial[lane] = value;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

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
    sum = workgroupSum(sum, lane);
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
