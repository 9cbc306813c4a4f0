enable subgroups;
// Sum and maximum over a workgroup of 64: within each subgroup first, then over the subgroups in order.
// The lanes of a subgroup are neighbours in a one-dimensional workgroup on every WebGPU backend.
var<workgroup> reduce_scratch: array<f32, 64>;

fn workgroup_sum(value: f32, lane: u32) -> f32 {
  let size = subgroupAdd(1u);
  let partial = subgroupAdd(value);
  if (lane % size == 0u) {
    reduce_scratch[lane / size] = partial;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 64u / size; i++) {
    total += reduce_scratch[i];
  }
  workgroupBarrier();
  return total;
}

fn workgroup_max(value: f32, lane: u32) -> f32 {
  let size = subgroupAdd(1u);
  let partial = subgroupMax(value);
  if (lane % size == 0u) {
    reduce_scratch[lane / size] = partial;
  }
  workgroupBarrier();
  var largest = reduce_scratch[0];
  for (var i = 1u; i < 64u / size; i++) {
    largest = max(largest, reduce_scratch[i]);
  }
  workgroupBarrier();
  return largest;
}
