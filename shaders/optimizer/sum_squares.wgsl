// partials[offset + group] = sum of x² over the group's share of x. Groups read in strides, so the order is fixed.
struct Params {
  count: u32,
  offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  var partial = 0.0;
  for (var i = group.x * 64u + lane; i < params.count; i += groups.x * 64u) {
    partial = fma(x[i], x[i], partial);
  }
  let total = workgroup_sum(partial, lane);
  if (lane == 0u) {
    partials[params.offset + group.x] = total;
  }
}
