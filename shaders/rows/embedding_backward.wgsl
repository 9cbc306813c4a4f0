// dtable[rows, C], the gradient of some rows of the table: scale times the sum of dy[N, C] over the tokens whose id is the
// row's (`token_of`). A workgroup owns a row and reads the tokens in order, so no atomics are needed and the sum is always
// the same.
struct Params {
  rows: u32,
  first_row: u32,
  tokens: u32,
  channels: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
  let id = token_of(row);
  for (var channel = lane; channel < params.channels; channel += 64u) {
    var sum = 0.0;
    for (var token = 0u; token < params.tokens; token++) {
      if (ids[token] == id) {
        sum += dy[token * params.channels + channel];
      }
    }
    let index = row * params.channels + channel;
    y[index] = epilogue(index, params.scale * sum);
  }
}
