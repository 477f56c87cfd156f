// Uniform noise in [0, 1) from a counter: a hash of (seed, frame, token), so that a frame's mask
// depends on nothing else. The hash is PCG-3D (Jarzynski & Olano, "Hash Functions for GPU
// Rendering", JCGT 2020).
const TOKENS: u32 = 800u;

//#include "common/sample.wgsl"

@group(0) @binding(0) var<storage, read> samples: array<Sample>;
@group(0) @binding(1) var<storage, read> seed: array<u32>;  // [1]
@group(0) @binding(2) var<storage, read_write> noise: array<f32>;  // [samples, TOKENS]

fn pcg3d(key: vec3<u32>) -> vec3<u32> {
  var v = key * 1664525u + 1013904223u;
  v.x += v.y * v.z;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v ^= v >> vec3<u32>(16u);
  v.x += v.y * v.z;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  return v;
}

@compute @workgroup_size(64)
fn fill(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= TOKENS) { return; }
  let bits = pcg3d(vec3<u32>(seed[0], samples[id.y].frame, id.x)).x;
  noise[id.y * TOKENS + id.x] = f32(bits >> 8u) / 16777216.0;
}
