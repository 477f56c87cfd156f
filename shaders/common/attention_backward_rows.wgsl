// The rows that attention's backward pass multiplies, by queries or (KEYS) by keys. Of an own and
// another row, a * a is the score and b * b is dp. Uses the kernel's qkv, dy and PLANE.
//#if KEYS
fn load_own_a(at: u32) -> vec4<f32> { return vec4<f32>(qkv[PLANE + at]); }
fn load_own_b(at: u32) -> vec4<f32> { return vec4<f32>(qkv[2u * PLANE + at]); }
fn load_other_a(at: u32) -> vec4<f32> { return vec4<f32>(qkv[at]); }
fn load_other_b(at: u32) -> vec4<f32> { return vec4<f32>(dy[at]); }
//#endif
//#if !KEYS
fn load_own_a(at: u32) -> vec4<f32> { return vec4<f32>(qkv[at]); }
fn load_own_b(at: u32) -> vec4<f32> { return vec4<f32>(dy[at]); }
fn load_other_a(at: u32) -> vec4<f32> { return vec4<f32>(qkv[PLANE + at]); }
fn load_other_b(at: u32) -> vec4<f32> { return vec4<f32>(qkv[2u * PLANE + at]); }
//#endif
