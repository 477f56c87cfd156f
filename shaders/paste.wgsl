// Pastes pseudo-anomalies into the three frames of a sample, and makes its target: the current
// frame without the anomaly, and the mask. One invocation makes one pixel of all four images.
//
// - An affine maps a pixel of the frame to a point of the source. Colours there are bilinear.
// - A source pixel is foreground by its difference from the background, from `low` to `high` as
//   0..1.
// - The share of foreground in 5 x 5 pixels around the point is the opacity, from COVER_LOW to
//   COVER_HIGH as 0..1, times a window with soft edges.
// - Pixels of an edge are partly background. For that share, estimated by contrast, the difference
//   between source and background is added to the frame; else there would be a rim.
// - A five-tap mean of bilinear samples is six taps a side, the outer ones weighted by the
//   fraction.
// - A given anomaly, made beforehand, replaces all three frames instead.
const HEIGHT: u32 = 320u;
const WIDTH: u32 = 640u;
const PASTES: u32 = 1u;  // of a sample, one after the other
const EDGE: f32 = 0.25;  // a window fades out over this share of its half sides
const COVER_LOW: f32 = 0.35;
const COVER_HIGH: f32 = 0.65;
const COVER_INSIDE: f32 = 0.9;
const NO_SLOT: u32 = 0xffffffffu;

//#include "common/sample.wgsl"
//#include "common/mask.wgsl"
struct Layer {
  // Column by column: to = (a, b) x + (c, d) y + (tx, ty).
  a: f32, b: f32, c: f32, d: f32, tx: f32, ty: f32,
  x: f32, y: f32, rx: f32, ry: f32,  // the window
  slot: u32, plain: u32,
}
struct Paste {
  gainB: f32, gainG: f32, gainR: f32, bias: f32, low: f32, high: f32,
  background: u32,  // NO_SLOT if nothing is pasted
  // 0: pasted and abnormal. 1: made beforehand: the layers' slots are whole frames, `background` is
  // the mask. 2: pasted, but normal: part of the target, with the mask NORMAL.
  kind: u32,
  layers: array<Layer, 3>,
}

@group(0) @binding(0) var<storage, read> frames: array<u32>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> pastes: array<Paste>;  // [samples, PASTES]
// [samples, 3, H, W] packed B, G, R
@group(0) @binding(3) var<storage, read_write> pasted: array<u32>;
// [samples, H, W] packed B, G, R, mask
@group(0) @binding(4) var<storage, read_write> targets: array<u32>;

fn pixel(slot: u32, y: i32, x: i32) -> vec3<f32> {
  let row = u32(clamp(y, 0, i32(HEIGHT) - 1));
  let column = u32(clamp(x, 0, i32(WIDTH) - 1));
  return unpack4x8unorm(frames[(slot * HEIGHT + row) * WIDTH + column]).xyz * 255.0;
}

fn bilinear(slot: u32, at: vec2<i32>, fraction: vec2<f32>) -> vec3<f32> {
  let upper = mix(pixel(slot, at.y, at.x), pixel(slot, at.y, at.x + 1), fraction.x);
  let lower = mix(pixel(slot, at.y + 1, at.x), pixel(slot, at.y + 1, at.x + 1), fraction.x);
  return mix(upper, lower, fraction.y);
}

fn clamp_byte(value: vec3<f32>) -> vec3<f32> {
  return clamp(value, vec3<f32>(0.0), vec3<f32>(255.0));
}

fn ramp(value: f32, low: f32, high: f32) -> f32 {
  return clamp((value - low) / (high - low), 0.0, 1.0);
}

fn within(distance: f32, r: f32) -> f32 {
  return ramp(distance, (1.0 + EDGE) * r, r);
}

fn tap_weight(i: i32, fraction: f32) -> f32 {
  if (i == -2) { return 1.0 - fraction; }
  return select(1.0, fraction, i == 3);
}

// Pastes one object into a pixel of frame t. `color` is that of the frame, `target_pixel` that of
// the target.
fn paste_object(which: u32, t: u32, here: u32, p: vec2<f32>, color: ptr<function, u32>, target_pixel: ptr<function, u32>) {
  let background = pastes[which].background;
  if (background == NO_SLOT) { return; }
  let layer = pastes[which].layers[t];
  if (pastes[which].kind == 1u) {
    *color = frames[layer.slot * HEIGHT * WIDTH + here] & 0xffffffu;
    if (t == 1u && (frames[background * HEIGHT * WIDTH + here] & 0x808080u) != 0u) { *target_pixel |= ABNORMAL << 24u; }
    return;
  }
  let to = vec2<f32>(layer.a * p.x + layer.c * p.y + layer.tx, layer.b * p.x + layer.d * p.y + layer.ty);
  let window = within(abs(to.x - layer.x), layer.rx) * within(abs(to.y - layer.y), layer.ry);
  let in_range = all(to >= vec2<f32>(0.0)) && to.x < f32(WIDTH) && to.y < f32(HEIGHT);
  if (window <= 0.0 || !in_range) { return; }
  let top_left = floor(to - 0.5);
  let fraction = to - 0.5 - top_left;
  let at = vec2<i32>(top_left);
  var cover = 0.0;
  for (var j = -2; j <= 3; j++) {
    let weight = tap_weight(j, fraction.y) / 25.0;
    for (var i = -2; i <= 3; i++) {
      let d = abs(pixel(layer.slot, at.y + j, at.x + i) - pixel(background, at.y + j, at.x + i));
      cover += weight * tap_weight(i, fraction.x) * ramp(max(max(d.x, d.y), d.z), pastes[which].low, pastes[which].high);
    }
  }
  let foreground = window * ramp(cover, COVER_LOW, COVER_HIGH);
  let source = bilinear(layer.slot, at, fraction);
  let added = source - bilinear(background, at, fraction);
  let contrast = max(max(abs(added.x), abs(added.y)), abs(added.z)) / (2.0 * pastes[which].high);
  let own = select(min(1.0, max(contrast, ramp(cover, COVER_HIGH, COVER_INSIDE))), 1.0, layer.plain == 1u);
  let base = unpack4x8unorm(*color).xyz * 255.0;
  let gain = vec3<f32>(pastes[which].gainB, pastes[which].gainG, pastes[which].gainR);
  let replaced = clamp_byte(source * gain + pastes[which].bias);
  let shown = mix(clamp_byte(base + added), replaced, own);
  let mixed = vec3<u32>(floor(mix(base, shown, select(foreground, window, layer.plain == 1u)) + 0.5));
  *color = mixed.x | (mixed.y << 8u) | (mixed.z << 16u);
  if (t != 1u) { return; }
  if (pastes[which].kind == 2u) { *target_pixel = *color | (*target_pixel & 0xff000000u); }
  if (foreground > 0.5) { *target_pixel |= select(ABNORMAL, NORMAL, pastes[which].kind == 2u) << 24u; }
}

@compute @workgroup_size(64)
fn paste(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= WIDTH) { return; }
  let here = id.y * WIDTH + id.x;
  let p = vec2<f32>(f32(id.x), f32(id.y)) + 0.5;
  var target_pixel = 0u;
  for (var t = 0u; t < 3u; t++) {
    var slot = samples[id.z].previous;
    if (t == 1u) { slot = samples[id.z].current; }
    if (t == 2u) { slot = samples[id.z].next; }
    var color = frames[slot * HEIGHT * WIDTH + here] & 0xffffffu;
    if (t == 1u) { target_pixel = color; }
    for (var k = 0u; k < PASTES; k++) { paste_object(id.z * PASTES + k, t, here, p, &color, &target_pixel); }
    pasted[(id.z * 3u + t) * HEIGHT * WIDTH + here] = color;
  }
  targets[id.z * HEIGHT * WIDTH + here] = target_pixel;
}
