// As many multiply-adds as the device can do: 8 independent vectors a thread, none of them in memory.
struct Params {
  rounds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let start = vec4f(f32(id.x)) * 1e-6;
  var a0 = start;
  var a1 = start + 1.0;
  var a2 = start + 2.0;
  var a3 = start + 3.0;
  var a4 = start + 4.0;
  var a5 = start + 5.0;
  var a6 = start + 6.0;
  var a7 = start + 7.0;
  let scale = vec4f(0.5);
  let shift = vec4f(0.25);
  for (var i = 0u; i < params.rounds; i++) {
    a0 = fma(a0, scale, shift);
    a1 = fma(a1, scale, shift);
    a2 = fma(a2, scale, shift);
    a3 = fma(a3, scale, shift);
    a4 = fma(a4, scale, shift);
    a5 = fma(a5, scale, shift);
    a6 = fma(a6, scale, shift);
    a7 = fma(a7, scale, shift);
  }
  let sum = (a0 + a1 + a2 + a3) + (a4 + a5 + a6 + a7);
  result[id.x] = sum.x + sum.y + sum.z + sum.w;
}
