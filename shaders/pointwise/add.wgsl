// y = a + scale · b, four elements a thread. Buffers are whole vectors; what is past the end of a tensor is never read.
struct Params {
  vectors: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// binding 1 is the operand b
@group(0) @binding(2) var<storage, read> a: array<Elements>;
@group(0) @binding(3) var<storage, read_write> y: array<Elements>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < params.vectors) {
    y[i] = fma(vec4f(params.scale), operand(i), a[i]);
  }
}
