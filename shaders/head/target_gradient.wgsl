// logits = the sum over a row's targets t of dlog_prob · (onehot(t) − softmax(logits)), and through the cap if they are
// capped, in place; a workgroup a slice of a row of logits[rows, columns]. Negative targets count for nothing,
// and the gradient of a missing row is 0. It comes after `head/places`.
struct Params {
  columns: u32,
  first_column: u32, // of the whole vocabulary
  first_row: u32,
  slices: u32,
  rows: u32,
  all_rows: u32,
  targets: u32, // of a row
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> dlog_probs: array<f32>;

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
  let start = index % params.slices * SLICE;
  let end = min(start + SLICE, params.columns);
  let place = place_of(row);
  if (place >= params.all_rows) {
    for (var column = start + lane; column < end; column += 64u) {
      logits[row * params.columns + column] = 0.0;
    }
    return;
  }
  let first = place * params.targets;
  let row_lse = lse[params.first_row + row];
  var total = 0.0;
  for (var k = first; k < first + params.targets; k++) {
    if (targets[k] >= 0) {
      total += dlog_probs[k];
    }
  }
  for (var column = start + lane; column < end; column += 64u) {
    let i = row * params.columns + column;
    let logit = logits[i];
    var gradient = -total * exp(capped(logit) - row_lse);
    for (var k = first; k < first + params.targets; k++) {
      if (targets[k] == i32(params.first_column + column)) {
        gradient += dlog_probs[k];
      }
    }
    logits[i] = cap_gradient(gradient, logit);
  }
}
