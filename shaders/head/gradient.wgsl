// logits = (softmax(logits) − onehot(label)) · dloss in rows with a label, else 0, and through the cap if they are capped,
// in place; a workgroup a slice of a row of logits[rows, columns].
struct Params {
  columns: u32,
  first_column: u32, // of the whole vocabulary
  first_row: u32, // of the labels
  slices: u32,
  rows: u32,
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;

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
  let label = labels[params.first_row + row];
  let scale = select(dloss[0], 0.0, label < 0);
  let hit = label - i32(params.first_column);
  let row_lse = lse[row];
  for (var column = start + lane; column < end; column += 64u) {
    let i = row * params.columns + column;
    let logit = logits[i];
    let gradient = (exp(capped(logit) - row_lse) - select(0.0, 1.0, i32(column) == hit)) * scale;
    logits[i] = cap_gradient(gradient, logit);
  }
}
