// y[i] = x[rows[first_row + i]], and 0 where that is past the rows of x, as in the places that an index has left.
struct Params {
  count: u32,
  channels: u32,
  first_row: u32,
  all_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count * params.channels) {
    return;
  }
  let place = rows[params.first_row + i / params.channels];
  y[i] = 0.0;
  if (place < params.all_rows) {
    y[i] = x[place * params.channels + i % params.channels];
  }
}
