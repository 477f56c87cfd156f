// What the host writes per sample (src/ops/samples.ts): slots of frames, and the current frame's
// number. `target` is a reserved word of WGSL.
struct Sample {
  previous: u32,
  current: u32,
  next: u32,
  before: u32,  // the motion gradient is |before - after|
  after: u32,
  target_: u32,
  frame: u32,
  unused: u32,
}
