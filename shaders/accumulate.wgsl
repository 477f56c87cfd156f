// total += value, in place. Single floats: a tensor may have any number of them.
const COUNT: u32 = 1024u;
const STRIDE: u32 = 1024u;  // invocations of the dispatch

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(256)
fn accumulate(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < COUNT; i += STRIDE) { total[i] += value[i]; }
}
