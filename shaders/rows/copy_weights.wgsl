// y[target_start + i] = weights[source_start + i], as f32, for i below count.
struct Params {
  count: u32,
  source_start: u32,
  target_start: u32,
  weight_blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<WeightWords>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let index = params.source_start + i;
  y[params.target_start + i] = weight_vec4(index / 4u)[index % 4u];
}
