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

fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.vectors) {
    return;
  }
  // Draws have 24 bits, and so has a probability: the least draw that keeps an element is a whole number.
  let least = u32(ceil(params.probability * exp2(24.0)));
  let index = pcg(pcg(seed[0]) + params.stream) + params.offset + 4u * i;
  let draw = vec4u(pcg(index), pcg(index + 1u), pcg(index + 2u), pcg(index + 3u)) >> vec4u(8u);
  let value = select(vec4f(), operand(i) / (1.0 - params.probability), draw >= vec4u(least));
  y[i] = epilogue(i, value);
}
