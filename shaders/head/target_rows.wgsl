// From the statistics of all slices of a row, a thread a row: the log-sum-exp of its logits, the entropy of their softmax,
// and the log-probability of each target, 0 where the target is negative. What is of a row goes to its place among all; the
// log-sum-exp is kept by chunks for the gradient. It comes after `head/places`.
struct Params {
  rows: u32,
  first_row: u32,
  slices: u32,
  all_rows: u32,
  targets: u32, // of a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> statistics: array<f32>;
@group(0) @binding(2) var<storage, read> target_logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> log_probs: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<storage, read_write> entropy: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if (row >= params.rows || place_of(row) >= params.all_rows) {
    return;
  }
  let place = place_of(row);
  let base = 3u * row * params.slices;
  var largest = -3.4e38;
  for (var i = 0u; i < params.slices; i++) {
    largest = max(largest, statistics[base + 3u * i]);
  }
  var total = 0.0;
  var weighted = 0.0; // sum of (logit − largest) · exp(logit − largest)
  for (var i = 0u; i < params.slices; i++) {
    let below = statistics[base + 3u * i] - largest;
    let sum = statistics[base + 3u * i + 1u];
    total += sum * exp(below);
    weighted += (statistics[base + 3u * i + 2u] + below * sum) * exp(below);
  }
  let row_lse = largest + log(total);
  lse[params.first_row + row] = row_lse;
  entropy[place] = log(total) - weighted / total;
  for (var k = 0u; k < params.targets; k++) {
    let i = place * params.targets + k;
    var value = 0.0;
    if (targets[i] >= 0) {
      value = target_logits[row * params.targets + k] - row_lse;
    }
    log_probs[i] = value;
  }
}
