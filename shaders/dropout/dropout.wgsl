// y = dropout(x), four elements a thread; see dropout/draws.wgsl.
struct Params {
  vectors: u32,
  offset: u32, // of x in the tensor whose mask this is a part of, in elements
  stream: u32,
  probability: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// binding 1 is the operand x
@group(0) @binding(2) var<storage, read> seed: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<Elements>;
// binding 4 is the epilogue's addend

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.vectors) {
    return;
  }
  let draws = draws_of(seed[0], params.stream, params.offset, params.probability);
  y[i] = epilogue(i, dropped_vec4(draws, i, operand(i)));
}
