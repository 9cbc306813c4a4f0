// y = cap · tanh(x / cap), four elements a thread.
struct Params {
  vectors: u32,
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// binding 1 is the operand x
@group(0) @binding(2) var<storage, read_write> y: array<Elements>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < params.vectors) {
    y[i] = capped(operand(i));
  }
}
