// Dynamic loss scaling (Micikevicius et al., "Mixed Precision Training", 2018), and its effect on
// AdamW, without asking the host. Gradients that are not finite show that the scale was too large:
// a gradient scale of 0 makes adamw.wgsl skip the step, and the scale is halved. After INTERVAL
// good steps in a row it is doubled.
//
// So only this kernel knows how many steps were made. A moment is a moving average that began at 0.
// What it lacks is what the same average of ones lacks: 1 - beta^t, kept up to date here as that
// average.
const FOUND: u32 = 256u;
const INTERVAL: f32 = 2000.0;
const LEAST: f32 = 1.0;
const MOST: f32 = 16777216.0;

//#include "common/scaler.wgsl"
//#include "common/hyper.wgsl"

@group(0) @binding(0) var<storage, read> found: array<u32>;  // [FOUND], by non_finite.wgsl
@group(0) @binding(1) var<storage, read> decays: Hyper;
@group(0) @binding(2) var<storage, read> plain: Hyper;
@group(0) @binding(3) var<storage, read_write> scaler: Scaler;
@group(0) @binding(4) var<storage, read_write> scaledDecays: Hyper;
@group(0) @binding(5) var<storage, read_write> scaledPlain: Hyper;

fn scaled(hyper: Hyper, unscale: f32) -> Hyper {
  var result = hyper;
  result.correction1 = scaler.correction1;
  result.correction2 = sqrt(scaler.correction2);
  result.gradientScale = hyper.gradientScale * unscale;
  return result;
}

@compute @workgroup_size(1)
fn updateScaler() {
  var overflow = false;
  for (var i = 0u; i < FOUND; i++) { overflow = overflow || found[i] != 0u; }
  let before = scaler.scale;
  if (overflow) {
    scaler.scale = max(LEAST, 0.5 * before);
    scaler.good = 0.0;
  } else {
    let grows = scaler.good + 1.0 >= INTERVAL;
    scaler.scale = select(before, min(MOST, 2.0 * before), grows);
    scaler.good = select(scaler.good + 1.0, 0.0, grows);
    scaler.correction1 += (1.0 - decays.beta1) * (1.0 - scaler.correction1);
    scaler.correction2 += (1.0 - decays.beta2) * (1.0 - scaler.correction2);
  }
  let unscale = select(1.0 / before, 0.0, overflow);
  scaledDecays = scaled(decays, unscale);
  scaledPlain = scaled(plain, unscale);
}
