// y[N, I] = activation(gate) · up with gate and up side by side in x[N, 2·I]; WIDTH elements a thread.
struct Params {
  count: u32,
  columns: u32, // I in units of WIDTH
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Elements>;
@group(0) @binding(2) var<storage, read_write> y: array<Elements>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let gate = i + i / params.columns * params.columns;
  y[i] = activation(x[gate]) * x[gate + params.columns];
}
