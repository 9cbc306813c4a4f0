// Columns of y[rows, stride] from first_column on = x[rows, columns].
struct Params {
  rows: u32,
  columns: u32,
  first_column: u32,
  stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < params.rows * params.columns) {
    y[i / params.columns * params.stride + params.first_column + i % params.columns] = x[i];
  }
}
