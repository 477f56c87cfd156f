// The leading 11 bits of values, which float16 holds. By bits: compilers may drop a conversion to
// float16 and back.
fn high_part(value: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) & vec4<u32>(0xffffe000u));
}
