// backward.wgsl for gate and up side by side in the operand [N, 2·I]: y = (dgate, dup); WIDTH elements a thread.
struct Params {
  count: u32,
  columns: u32, // I in units of WIDTH
}

@group(0) @binding(0) var<uniform> params: Params;
// binding 1 is the operand x
@group(0) @binding(2) var<storage, read> dy: array<Elements>; // [N, I]
@group(0) @binding(3) var<storage, read_write> y: array<Elements>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let gate = i + i / params.columns * params.columns;
  let up = gate + params.columns;
  let gradient = dy[i];
  let gated = operand(up);
  let activated = activation_and_slope(operand(gate));
  y[gate] = gradient * gated * activated.slope;
  y[up] = gradient * activated.value;
}
