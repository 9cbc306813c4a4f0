// Softmax statistics of logits[rows, columns], capped if they are, a workgroup a slice of a row: its maximum and its sum
// of exp(logit − maximum). The slice that the row's label is in also notes that logit.
struct Params {
  columns: u32,
  first_column: u32, // of the whole vocabulary
  first_row: u32, // of the labelled rows
  slices: u32, // of a row of the logits
  first_slice: u32, // of a row of the whole vocabulary
  all_slices: u32,
  count: u32, // rows of the logits
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> label_logit: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group.x + group.y * groups.x;
  let row = index / params.slices;
  if (row >= params.count) {
    return;
  }
  let slice = index % params.slices;
  let base = row * params.columns;
  let start = slice * SLICE;
  let end = min(start + SLICE, params.columns);
  var largest = -3.4e38;
  for (var column = start + lane; column < end; column += 64u) {
    largest = max(largest, capped(logits[base + column]));
  }
  let slice_max = workgroup_max(largest, lane);
  var partial = 0.0;
  for (var column = start + lane; column < end; column += 64u) {
    partial += exp(capped(logits[base + column]) - slice_max);
  }
  let slice_sum = workgroup_sum(partial, lane);
  if (lane != 0u) {
    return;
  }
  statistics[row * params.all_slices + params.first_slice + slice] = vec2f(slice_max, slice_sum);
  let label = label_of(row) - i32(params.first_column);
  if (label >= i32(start) && label < i32(end)) {
    label_logit[row] = capped(logits[base + u32(label)]);
  }
}
