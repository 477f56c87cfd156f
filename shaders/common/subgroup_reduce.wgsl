// The largest and the sum of the values of a subgroup's LANES lanes, in each lane. A tree of
// shuffles always adds in the same order.
fn subgroup_max(value: f32) -> f32 {
  var result = value;
  for (var step = 1u; step < LANES; step *= 2u) { result = max(result, subgroupShuffleXor(result, step)); }
  return result;
}

fn subgroup_sum(value: f32) -> f32 {
  var result = value;
  for (var step = 1u; step < LANES; step *= 2u) { result += subgroupShuffleXor(result, step); }
  return result;
}
