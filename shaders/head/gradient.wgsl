// logits = (softmax(logits) − onehot(label)) · dloss of a chunk of labelled rows, and through the cap if they are capped, in
// place; a workgroup a slice of a row of logits[rows, columns]. 0 where no labelled row is left, whatever was there.
struct Params {
  columns: u32,
  first_column: u32, // of the whole vocabulary
  first_row: u32, // of the labelled rows
  slices: u32,
  count: u32, // rows of the logits
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> dloss: array<f32>;

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
  let start = index % params.slices * SLICE;
  let end = min(start + SLICE, params.columns);
  let label = label_of(row);
  if (label < 0) {
    for (var column = start + lane; column < end; column += 64u) {
      logits[row * params.columns + column] = 0.0;
    }
    return;
  }
  let hit = label - i32(params.first_column);
  let row_lse = lse[row];
  for (var column = start + lane; column < end; column += 64u) {
    let i = row * params.columns + column;
    let logit = logits[i];
    let gradient = (exp(capped(logit) - row_lse) - select(0.0, 1.0, i32(column) == hit)) * dloss[0];
    logits[i] = cap_gradient(gradient, logit);
  }
}
