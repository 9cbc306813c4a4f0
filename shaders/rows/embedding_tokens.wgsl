// y[N, C] = scale · token_rows[k, C] where ids[N] is the k-th of the tokens; other rows stay. A workgroup a row.
struct Params {
  rows: u32,
  channels: u32,
  tokens: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;
@group(0) @binding(3) var<storage, read> token_rows: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

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
  for (var k = 0u; k < params.tokens; k++) {
    if (tokens[k] == ids[row]) {
      for (var channel = lane; channel < params.channels; channel += 64u) {
        y[row * params.channels + channel] = params.scale * token_rows[k * params.channels + channel];
      }
    }
  }
}
