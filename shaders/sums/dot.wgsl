// y[0] = alpha · sum of a · b, one workgroup, always in the same order.
struct Params {
  count: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var partial = 0.0;
  for (var i = lane; i < params.count; i += 64u) {
    partial += a[i] * b[i];
  }
  let total = workgroup_sum(partial, lane);
  if (lane == 0u) {
    y[0] = params.alpha * total;
  }
}
