// norm/rms_norm_dx.wgsl for adapters that run on a CPU: a thread a row.
struct Params {
  rows: u32,
  channels: u32,
  offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Elements>;
@group(0) @binding(2) var<storage, read> weight: array<Elements>;
@group(0) @binding(3) var<storage, read_write> dx: array<Elements>;
// binding 4 is the epilogue's addend
@group(0) @binding(5) var<storage, read> rstd: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<Elements>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 16u;
  if (row >= params.rows) {
    return;
  }
  let width = params.channels / WIDTH;
  let base = row * width;
  let scale = rstd[row];
  var partial = Elements();
  for (var c = 0u; c < width; c++) {
    partial = fma(dy[base + c] * (weight[c] + params.offset), x[base + c] * scale, partial);
  }
  let mean = total(partial) / f32(params.channels);
  for (var c = 0u; c < width; c++) {
    let value = scale * (dy[base + c] * (weight[c] + params.offset) - x[base + c] * scale * mean);
    dx[base + c] = epilogue(base + c, value);
  }
}
