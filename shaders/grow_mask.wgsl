// Grows the masks of what is abnormal, the highest byte of targets: a pixel belongs to a grown mask
// if a square around it holds a pixel of the mask. Rows first, then columns: two passes of 2 R + 1
// reads in place of (2 R + 1)^2.
const HEIGHT: u32 = 320u;
const WIDTH: u32 = 640u;
const RADIUS: i32 = 4;

// [samples, H, W] packed B, G, R, mask
@group(0) @binding(0) var<storage, read> targets: array<u32>;
@group(0) @binding(1) var<storage, read_write> grown: array<u32>;

@compute @workgroup_size(64)
fn growMask(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= WIDTH) { return; }
  let row = (id.z * HEIGHT + id.y) * WIDTH;
  var mask = 0u;
  for (var offset = -RADIUS; offset <= RADIUS; offset++) {
    //#if !COLUMNS
    let x = clamp(i32(id.x) + offset, 0, i32(WIDTH) - 1);
    mask = max(mask, targets[row + u32(x)] >> 24u);
    //#endif
    //#if COLUMNS
    let y = clamp(i32(id.y) + offset, 0, i32(HEIGHT) - 1);
    mask = max(mask, targets[(id.z * HEIGHT + u32(y)) * WIDTH + id.x] >> 24u);
    //#endif
  }
  grown[row + id.x] = (targets[row + id.x] & 0xffffffu) | (mask << 24u);
}
