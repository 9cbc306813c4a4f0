// norm/rms_norm.wgsl for adapters that run on a CPU: a thread a row, since barriers cost more there than loads side by side
// save.
struct Params {
  rows: u32,
  channels: u32,
  eps: f32,
  offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Elements>;
@group(0) @binding(2) var<storage, read> weight: array<Elements>;
@group(0) @binding(3) var<storage, read_write> y: array<Elements>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 16u;
  if (row >= params.rows) {
    return;
  }
  let width = params.channels / WIDTH;
  let base = row * width;
  var squares = Elements();
  for (var c = 0u; c < width; c++) {
    let value = x[base + c];
    squares = fma(value, value, squares);
  }
  let scale = 1.0 / sqrt(total(squares) / f32(params.channels) + params.eps);
  for (var c = 0u; c < width; c++) {
    y[base + c] = x[base + c] * scale * (weight[c] + params.offset);
  }
  rstd[row] = scale;
}
