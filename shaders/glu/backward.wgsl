// dgate = dy · up · activation′(gate), dup = dy · activation(gate), four elements a thread.
struct Params {
  vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<vec4f>;
@group(0) @binding(2) var<storage, read> up: array<vec4f>;
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> dgate: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> dup: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.vectors) {
    return;
  }
  let gradient = dy[i];
  let activated = activation_and_slope(gate[i]);
  dgate[i] = gradient * up[i] * activated.slope;
  dup[i] = gradient * activated.value;
}
