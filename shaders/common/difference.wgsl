// How far two pixels are apart, summed over their four channels: squared, or ABSOLUTE.
fn difference(a: vec4<f32>, b: vec4<f32>) -> f32 {
  let d = a - b;
  if (ABSOLUTE) { return dot(abs(d), vec4<f32>(1.0)); }
  return dot(d, d);
}
