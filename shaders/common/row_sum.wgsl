// The sum of the values of the LANES lanes that share a row, in each of them. With more than one
// (SHARED) a tree in workgroup memory always adds in the same order. Uses the kernel's LANES, a
// power of two, its WORKGROUP, and its alias Sum for the type of a value.
//#if SHARED
var<workgroup> partial: array<Sum, WORKGROUP>;

fn row_sum(value: Sum, lane: u32, local: u32) -> Sum {
  partial[local] = value;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[local] += partial[local + stride]; }
    workgroupBarrier();
  }
  let sum = partial[local - lane];
  workgroupBarrier();
  return sum;
}
//#endif
//#if !SHARED
fn row_sum(value: Sum, lane: u32, local: u32) -> Sum { return value; }
//#endif
