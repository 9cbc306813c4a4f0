// y = x rounded to bfloat16, to nearest even, in pairs with the low half first. NaN stays NaN.
struct Params {
  words: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.words) {
    return;
  }
  let bits = bitcast<vec2u>(x[i]);
  let rounded = (bits + 0x7fffu + ((bits >> vec2u(16u)) & vec2u(1u))) >> vec2u(16u);
  let quiet = (bits >> vec2u(16u)) | vec2u(0x40u);
  let half = select(rounded, quiet, (bits & vec2u(0x7fffffffu)) > vec2u(0x7f800000u));
  y[i] = half.x | (half.y << 16u);
}
