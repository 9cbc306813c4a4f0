// y = x / (1 − p) where a hash of (seed, stream, index) keeps the element, else 0: the same draw forward and back. Four
// elements a thread. The hash is core/rng's PCG (Jarzynski and Olano 2020).
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

fn pcg(value: vec4u) -> vec4u {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> vec4u(28u)) + 4u)) ^ state) * 277803737u;
  return (word >> vec4u(22u)) ^ word;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.vectors) {
    return;
  }
  let key = pcg(pcg(vec4u(seed[0])).x + vec4u(params.stream)).x;
  let draw = pcg(key + params.offset + 4u * i + vec4u(0u, 1u, 2u, 3u));
  let random = vec4f(draw >> vec4u(8u)) * exp2(-24.0);
  let value = select(vec4f(), operand(i) / (1.0 - params.probability), random >= vec4f(params.probability));
  y[i] = epilogue(i, value);
}
