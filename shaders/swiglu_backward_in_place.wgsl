// swiglu_backward.wgsl over its own inputs: gate becomes dgate, and up becomes dup.
struct Params {
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gate: array<f32>;
@group(0) @binding(2) var<storage, read_write> up: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let g = gate[i];
  let u = up[i];
  let sigmoid = 1.0 / (1.0 + exp(-g));
  gate[i] = dy[i] * u * sigmoid * (1.0 + g * (1.0 - sigmoid));
  up[i] = dy[i] * g * sigmoid;
}
