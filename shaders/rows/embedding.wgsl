// y[N, C] = scale · table[ids[N], C] for the ids in a part of the table, rows first_row … first_row + rows − 1 of the
// whole.
struct Params {
  tokens: u32,
  channels: u32,
  first_row: u32,
  rows: u32,
  weight_blocks: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<WeightWords>; // the part
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.tokens * params.channels) {
    return;
  }
  let row = ids[i / params.channels] - params.first_row; // wraps where the id is below
  if (row >= params.rows) {
    return;
  }
  let index = row * params.channels + i % params.channels;
  y[i] = params.scale * weight_vec4(index / 4u)[index % 4u];
}
