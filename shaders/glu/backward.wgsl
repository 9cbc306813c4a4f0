// dgate = dy · up · activation′(gate), dup = dy · activation(gate), four elements a thread.
struct Params {
  vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// bindings 1 and 2 are the operands gate and up
@group(0) @binding(3) var<storage, read> dy: array<Elements>;
@group(0) @binding(4) var<storage, read_write> dgate: array<Elements>;
@group(0) @binding(5) var<storage, read_write> dup: array<Elements>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.vectors) {
    return;
  }
  let gradient = dy[i];
  let gated = up_operand(i);
  let activated = activation_and_slope(gate_operand(i));
  dgate[i] = gradient * gated * activated.slope;
  dup[i] = gradient * activated.value;
}
