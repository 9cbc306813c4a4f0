// y[B] = sum over the rows of a sequence of x[B, T] where the label is not negative, or their mean; a workgroup a
// sequence, always in the same order. The share of each such row in y, 1 or 1 / rows, is kept for the gradient.
override MEAN: bool;

struct Params {
  sequences: u32,
  length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> share: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let sequence = group.x + group.y * groups.x;
  if (sequence >= params.sequences) {
    return;
  }
  let first = sequence * params.length;
  var partial = 0.0;
  var labelled = 0.0;
  for (var i = first + lane; i < first + params.length; i += 64u) {
    if (labels[i] >= 0) {
      partial += x[i];
      labelled += 1.0;
    }
  }
  let total = workgroup_sum(partial, lane);
  let count = workgroup_sum(labelled, lane);
  if (lane == 0u) {
    let divisor = select(1.0, max(count, 1.0), MEAN);
    y[sequence] = total / divisor;
    share[sequence] = 1.0 / divisor;
  }
}
