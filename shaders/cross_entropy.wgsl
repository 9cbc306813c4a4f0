// Token losses: loss[row] = lse − logits[label] where the label is not negative, else 0; a workgroup a row of
// logits[N, V]. The log-sum-exp is kept for the gradient.
struct Params {
  rows: u32,
  vocab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= params.rows) {
    return;
  }
  let base = row * params.vocab;
  var largest = -3.4e38;
  for (var i = lane; i < params.vocab; i += 64u) {
    largest = max(largest, logits[base + i]);
  }
  let row_max = workgroup_max(largest, lane);
  var partial = 0.0;
  for (var i = lane; i < params.vocab; i += 64u) {
    partial += exp(logits[base + i] - row_max);
  }
  let row_lse = row_max + log(workgroup_sum(partial, lane));
  if (lane == 0u) {
    lse[row] = row_lse;
    let label = labels[row];
    if (label >= 0) {
      loss[row] = row_lse - logits[base + u32(label)];
    } else {
      loss[row] = 0.0;
    }
  }
}
