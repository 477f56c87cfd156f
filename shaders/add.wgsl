// y = a + b, four values at a time if their number allows.
const COUNT: u32 = 1024u;  // vec4s, or floats without VECTORS
const STRIDE: u32 = 1024u;  // invocations of the dispatch
alias Act = f32;  // what activations are stored as

//#if VECTORS
@group(0) @binding(0) var<storage, read> a: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Act>>;
//#endif
//#if !VECTORS
@group(0) @binding(3) var<storage, read> singleA: array<Act>;
@group(0) @binding(4) var<storage, read> singleB: array<Act>;
@group(0) @binding(5) var<storage, read_write> singleY: array<Act>;
//#endif

@compute @workgroup_size(256)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < COUNT; i += STRIDE) {
    //#if VECTORS
    y[i] = vec4<Act>(vec4<f32>(a[i]) + vec4<f32>(b[i]));
    //#endif
    //#if !VECTORS
    singleY[i] = Act(f32(singleA[i]) + f32(singleB[i]));
    //#endif
  }
}
