// Token losses from the statistics of all slices of a labelled row, a thread a row, into the row's place among all:
// loss = lse − logit of the label. The log-sum-exp is kept for the gradient.
struct Params {
  count: u32, // rows of the chunk
  first_row: u32,
  slices: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(2) var<storage, read> label_logit: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<i32>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if (row >= params.count) {
    return;
  }
  let base = row * params.slices;
  var largest = -3.4e38;
  for (var i = 0u; i < params.slices; i++) {
    largest = max(largest, statistics[base + i].x);
  }
  var total = 0.0;
  for (var i = 0u; i < params.slices; i++) {
    let slice = statistics[base + i];
    total += slice.y * exp(slice.x - largest);
  }
  lse[row] = largest + log(total);
  if (label_of(row) >= 0) {
    loss[place_of(row)] = lse[row] - label_logit[row];
  }
}
