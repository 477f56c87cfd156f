// Whether any gradient is infinite or NaN: 1 for each workgroup that found one, else 0. It looks at
// the bits (an exponent of all ones), since compilers may assume that floats are finite.
const COUNT: u32 = 1024u;
const STRIDE: u32 = 1024u;  // invocations of the dispatch

@group(0) @binding(0) var<storage, read> gradients: array<u32>;  // float32
@group(0) @binding(1) var<storage, read_write> found: array<u32>;

var<workgroup> partial: array<u32, 256>;

@compute @workgroup_size(256)
fn nonFinite(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  var any = 0u;
  for (var i = id.x; i < COUNT; i += STRIDE) { any = max(any, gradients[i] & 0x7f800000u); }
  partial[local] = any;
  workgroupBarrier();
  for (var stride = 128u; stride > 0u; stride /= 2u) {
    if (local < stride) { partial[local] = max(partial[local], partial[local + stride]); }
    workgroupBarrier();
  }
  if (local == 0u) { found[group.x] = select(0u, 1u, partial[0] == 0x7f800000u); }
}
