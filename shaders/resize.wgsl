// Bilinear resize of 8-bit frames, exactly as OpenCV's INTER_LINEAR: weights of 11 bits, the same
// shifts and rounding. An invocation makes one pixel: one word, B in the lowest byte, the highest
// byte 0.
//
// - DIFFERENCE resizes |before - after| instead: the motion gradient, taken at the source's
//   resolution.
// - GATHER puts the frames of the listed slots one after the other, not in slots of the same
//   numbers.
// - SAME: the source has the result's size. All weights are 0, and pixels stay as they are.
//
// The list may be longer than the dispatch is deep. Then layer i of n takes entries i, i + n, …
// up to the first that is NO_SLOT. So a dispatch as deep as the usual number of new frames wastes
// nothing, and can still take all of them.
const SOURCE_HEIGHT: u32 = 240u;
const SOURCE_WIDTH: u32 = 360u;
// stride of a raw frame: its bytes in whole words, and one more that reads reach into
const SLOT_WORDS: u32 = 64801u;
const HEIGHT: u32 = 320u;
const WIDTH: u32 = 640u;
const NO_SLOT: u32 = 0xffffffffu;

//#include "common/sample.wgsl"

// [slots, SLOT_WORDS] bytes B, G, R interleaved
@group(0) @binding(0) var<storage, read> raw: array<u32>;
// [WIDTH] left neighbour + 1 | weight of the right one << 16
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;  // [HEIGHT] likewise, upper and lower
//#if DIFFERENCE
@group(0) @binding(3) var<storage, read> samples: array<Sample>;
//#endif
//#if !DIFFERENCE
// raw slots to resize, into the same slot of the result
@group(0) @binding(4) var<storage, read> slots: array<u32>;
//#endif
// [slots or samples, HEIGHT, WIDTH]
@group(0) @binding(5) var<storage, read_write> resized: array<u32>;

fn pixel(slot: u32, y: u32, x: u32) -> vec3<i32> {
  let byte = (y * SOURCE_WIDTH + x) * 3u;
  let word = slot * SLOT_WORDS + byte / 4u;
  let shift = (byte % 4u) * 8u;
  var bits = raw[word] >> shift;
  if (shift > 8u) { bits |= raw[word + 1u] << (32u - shift); }
  return vec3<i32>(vec3<u32>(bits, bits >> 8u, bits >> 16u) & vec3<u32>(255u));
}

//#if DIFFERENCE
fn source(z: u32, y: u32, x: u32) -> vec3<i32> {
  return abs(pixel(samples[z].before, y, x) - pixel(samples[z].after, y, x));
}
//#endif
//#if !DIFFERENCE
fn source(z: u32, y: u32, x: u32) -> vec3<i32> {
  return pixel(slots[z], y, x);
}
//#endif

@compute @workgroup_size(64)
fn resize(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
  if (id.x >= WIDTH) { return; }
  //#if DIFFERENCE
  if (samples[id.z].before != NO_SLOT) { resize_pixel(id, id.z); }
  //#endif
  //#if !DIFFERENCE
  for (var i = id.z; i < arrayLength(&slots); i += workgroups.z) {
    if (slots[i] == NO_SLOT) { break; }
    //#if GATHER
    resize_pixel(vec3<u32>(id.xy, i), i);
    //#endif
    //#if !GATHER
    resize_pixel(vec3<u32>(id.xy, i), slots[i]);
    //#endif
  }
  //#endif
}

// Resizes pixel id.xy of entry id.z of the list into an image of the result.
fn resize_pixel(id: vec3<u32>, image: u32) {
  //#if SAME
  let value = vec3<u32>(source(id.z, id.y, id.x));
  //#endif
  //#if !SAME
  let column = columns[id.x];
  let row = rows[id.y];
  let x1 = min(column & 0xffffu, SOURCE_WIDTH - 1u);
  let x0 = max(column & 0xffffu, 1u) - 1u;
  let y1 = min(row & 0xffffu, SOURCE_HEIGHT - 1u);
  let y0 = max(row & 0xffffu, 1u) - 1u;
  let right = i32(column >> 16u);
  let lower = i32(row >> 16u);
  let upper_row = source(id.z, y0, x0) * (2048 - right) + source(id.z, y0, x1) * right;
  let lower_row = source(id.z, y1, x0) * (2048 - right) + source(id.z, y1, x1) * right;
  let shift4 = vec3<u32>(4u);
  let shift16 = vec3<u32>(16u);
  let sum = (((upper_row >> shift4) * (2048 - lower)) >> shift16) + (((lower_row >> shift4) * lower) >> shift16);
  let value = vec3<u32>((sum + 2) >> vec3<u32>(2u));
  //#endif
  resized[(image * HEIGHT + id.y) * WIDTH + id.x] = value.x | (value.y << 8u) | (value.z << 16u);
}
