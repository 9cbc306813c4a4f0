// norm[0] = sqrt(sum of the partial sums of squares), one workgroup.
struct Params {
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var partial = 0.0;
  for (var i = lane; i < params.count; i += 64u) {
    partial += partials[i];
  }
  let total = workgroup_sum(partial, lane);
  if (lane == 0u) {
    // What a driver's square root makes of infinity or NaN is left to the driver, so that they pass it by.
    norm[0] = total;
    if (finite_bits(bitcast<u32>(total))) {
      norm[0] = sqrt(total);
    }
  }
}
