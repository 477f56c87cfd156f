// Eight values as float16 in a vec4. Conversions round to the nearest; pack2x16float may round
// towards zero.
fn pack_halves(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(bitcast<vec2<u32>>(vec4<f16>(low)), bitcast<vec2<u32>>(vec4<f16>(high)));
}
