// A stable argsort by counting: a token's rank is how many keys are smaller, or equal and before
// it. The ranks are PyTorch's ids_restore; the tokens of the first KEEP ranks are kept, in that
// order. TOKENS comparisons per token, no communication: for some hundreds of tokens cheaper than
// any sort in passes.
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;

@group(0) @binding(0) var<storage, read> keys: array<f32>;  // [samples, TOKENS]
@group(0) @binding(1) var<storage, read_write> idsRestore: array<u32>;  // [samples, TOKENS]
@group(0) @binding(2) var<storage, read_write> idsKeep: array<u32>;  // [samples, KEEP]

@compute @workgroup_size(64)
fn rank(@builtin(global_invocation_id) id: vec3<u32>) {
  let token = id.x;
  if (token >= TOKENS) { return; }
  let first = id.y * TOKENS;
  let key = keys[first + token];
  var rank = 0u;
  for (var other = 0u; other < TOKENS; other++) {
    let value = keys[first + other];
    rank += select(0u, 1u, value < key || (value == key && other < token));
  }
  idsRestore[first + token] = rank;
  if (rank < KEEP) { idsKeep[id.y * KEEP + rank] = token; }
}
