// y = x · rstd · (weight + offset), rstd = 1 / sqrt(mean(x²) + eps), a workgroup a row (Zhang and Sennrich 2019,
// RMSNorm).
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
  let width = params.channels / WIDTH;
  let base = row * width;
  var squares = Elements();
  for (var c = lane; c < width; c += 64u) {
    let value = x[base + c];
    squares = fma(value, value, squares);
  }
  let scale = 1.0 / sqrt(workgroup_sum(total(squares), lane) / f32(params.channels) + params.eps);
  for (var c = lane; c < width; c += 64u) {
    y[base + c] = x[base + c] * scale * (weight[c] + params.offset);
  }
  if (lane == 0u) {
    rstd[row] = scale;
  }
}
