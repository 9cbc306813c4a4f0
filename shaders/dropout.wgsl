// y = x / (1 − p) where a hash of (seed, stream, index) keeps the element, else 0: the same draw forward and back.
// The hash is core/rng's PCG (Jarzynski and Olano 2020).
struct Params {
  count: u32,
  offset: u32, // of x in the tensor whose mask this is a part of
  stream: u32,
  probability: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// binding 1 is the operand x
@group(0) @binding(2) var<storage, read> seed: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
// binding 4 is the epilogue's addend

fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let random = f32(pcg(pcg(pcg(seed[0]) + params.stream) + params.offset + i) >> 8u) * exp2(-24.0);
  let kept = select(0.0, operand(i) / (1.0 - params.probability), random >= params.probability);
  y[i] = epilogue(i, kept);
}
