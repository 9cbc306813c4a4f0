// Columns of y[rows, y_stride] from y_first on = as many columns of x[rows, x_stride] from x_first on; extents are in units
// of WIDTH.
struct Params {
  rows: u32,
  columns: u32,
  x_first: u32,
  x_stride: u32,
  y_first: u32,
  y_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Elements>;
@group(0) @binding(2) var<storage, read_write> y: array<Elements>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.columns) {
    return;
  }
  let row = i / params.columns;
  let column = i % params.columns;
  y[row * params.y_stride + params.y_first + column] = x[row * params.x_stride + params.x_first + column];
}
