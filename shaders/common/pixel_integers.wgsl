// 2v - 255 in float16, of two values v that lie in bits 1 to 8 and 17 to 24: 0x6401 | 2v is the
// float16 number 1024 + 2v + 1.
fn pixel_integers(values: vec4<u32>) -> vec4<u32> {
  let bits = (values & vec4<u32>(0x01fe01fe)) | vec4<u32>(0x64016401);
  let offset = vec2<f16>(-1280.0);
  return vec4<u32>(
    bitcast<u32>(bitcast<vec2<f16>>(bits.x) + offset),
    bitcast<u32>(bitcast<vec2<f16>>(bits.y) + offset),
    bitcast<u32>(bitcast<vec2<f16>>(bits.z) + offset),
    bitcast<u32>(bitcast<vec2<f16>>(bits.w) + offset),
  );
}
