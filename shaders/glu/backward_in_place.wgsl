// backward.wgsl over its own inputs: gate becomes dgate, and up becomes dup. Four elements a thread.
struct Params {
  vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gate: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> up: array<vec4f>;
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.vectors) {
    return;
  }
  let gradient = dy[i];
  let activated = activation_and_slope(gate[i]);
  gate[i] = gradient * up[i] * activated.slope;
  up[i] = gradient * activated.value;
}
