// The motion of a pixel, 0..255: the mean of its three channels' gradients.
// Uses the kernel's gradient (FLOATS) or packed, HEIGHT and WIDTH.
fn mean_motion(image: u32, pixel: u32) -> f32 {
  var channels = vec3<f32>(0.0);
  //#if FLOATS
  let at = image * 3u * HEIGHT * WIDTH + pixel;
  channels = vec3<f32>(gradient[at], gradient[at + HEIGHT * WIDTH], gradient[at + 2u * HEIGHT * WIDTH]);
  //#endif
  //#if !FLOATS
  channels = unpack4x8unorm(packed[image * HEIGHT * WIDTH + pixel]).xyz * 255.0;
  //#endif
  return (channels.x + channels.y + channels.z) / 3.0;
}
