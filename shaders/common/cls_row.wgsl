// Four columns of a cls token's row in place of x W + b: the residual's, normalised. One row in
// PERIOD is such a row, so reading it once per vec4 costs next to nothing.
// Uses the kernel's residual, gamma, beta, N and EPSILON.
fn cls_row(row: u32, column: u32) -> vec4<f32> {
  let width = arrayLength(&gamma);
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < width; i++) { sum += vec4<f32>(residual[row * width + i]); }
  let mean = dot(sum, vec4<f32>(1.0)) / f32(N);
  var squares = vec4<f32>(0.0);
  for (var i = 0u; i < width; i++) {
    let d = vec4<f32>(residual[row * width + i]) - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(dot(squares, vec4<f32>(1.0)) / f32(N) + EPSILON);
  return (vec4<f32>(residual[row * width + column]) - mean) * scale * gamma[column] + beta[column];
}
