// x Φ(x) = max(x, 0) - |x| erfc(|x| / √2) / 2, with erfc to 1.5e-7 (Abramowitz & Stegun 7.1.26).
// Fewer instructions than with erf.wgsl.
fn gelu(x: vec4<f32>) -> vec4<f32> {
  let a = abs(x);
  let t = 1.0 / (1.0 + 0.23164188 * a);
  let poly = t * (0.127414796 + t * (-0.142248368 + t * (0.7107068705 + t * (-0.7265760135 + t * 0.5307027145))));
  return max(x, vec4<f32>(0.0)) - a * (poly * exp2(x * x * -0.72134752));
}
