// Adds a pixel's difference to its token's error, by channel: squared, or ABSOLUTE.
fn add_error(error: vec4<f32>, difference: vec4<f32>) -> vec4<f32> {
  if (ABSOLUTE) { return error + abs(difference); }
  return fma(difference, difference, error);
}
