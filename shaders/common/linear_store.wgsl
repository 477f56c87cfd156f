// Stores four columns of x W, after all that follows it: bias, GELU, cls rule, residual.
// Uses the kernel's bias, residual, y, M, N and PERIOD.
//#if GELU
//#include "common/erf.wgsl"
//#endif
//#if PASSTHROUGH
//#include "common/cls_row.wgsl"
//#endif

fn store(value: vec4<f32>, batch: u32, row: u32, column: u32) {
  const N4 = N / 4u;
  let at = (batch * M + row) * N4 + column;
  var result = value + bias[batch * N4 + column];
  //#if GELU
  result = 0.5 * result * (1.0 + erf(result * 0.70710678));
  //#endif
  //#if PASSTHROUGH
  if (row % PERIOD == 0u) { result = cls_row(row, column); }
  //#endif
  //#if RESIDUAL
  result += vec4<f32>(residual[at]);
  //#endif
  y[at] = vec4<Act>(result);
}
