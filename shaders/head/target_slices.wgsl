// Softmax statistics of logits[rows, columns], capped if they are, a workgroup a slice of a row: its maximum m, and its
// sums of exp(logit − m) and (logit − m) · exp(logit − m). Logits of the row's targets that lie in the slice are noted.
// It comes after `head/places`.
struct Params {
  columns: u32,
  first_column: u32, // of the whole vocabulary
  first_row: u32,
  slices: u32, // of a row of the logits
  first_slice: u32, // of a row of the whole vocabulary
  all_slices: u32,
  rows: u32,
  all_rows: u32,
  targets: u32, // of a row
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;
@group(0) @binding(5) var<storage, read_write> target_logits: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group.x + group.y * groups.x;
  let row = index / params.slices;
  if (row >= params.rows) {
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
  var weighted = 0.0;
  for (var column = start + lane; column < end; column += 64u) {
    let above = capped(logits[base + column]) - slice_max;
    let weight = exp(above);
    partial += weight;
    weighted += above * weight;
  }
  let slice_sum = workgroup_sum(partial, lane);
  let slice_weighted = workgroup_sum(weighted, lane);
  let place = place_of(row);
  for (var k = lane; place < params.all_rows && k < params.targets; k += 64u) {
    let column = targets[place * params.targets + k] - i32(params.first_column);
    if (column >= i32(start) && column < i32(end)) {
      target_logits[row * params.targets + k] = capped(logits[base + u32(column)]);
    }
  }
  if (lane == 0u) {
    let at = 3u * (row * params.all_slices + params.first_slice + slice);
    statistics[at] = slice_max;
    statistics[at + 1u] = slice_sum;
    statistics[at + 2u] = slice_weighted;
  }
}
