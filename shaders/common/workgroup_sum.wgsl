// The sum of a workgroup's values, in each lane. A tree in workgroup memory always adds in the same
// order. Uses the kernel's WORKGROUP, a power of two, and its alias Sum for the type of a value.
var<workgroup> partial: array<Sum, WORKGROUP>;

fn workgroup_sum(value: Sum, lane: u32) -> Sum {
  partial[lane] = value;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}
