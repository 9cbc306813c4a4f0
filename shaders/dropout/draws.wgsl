// What dropout makes of an element: x / (1 − p) where a hash of (seed, stream, index) keeps it, else 0. The same draws
// forward and back, whichever kernel makes them. The hash is core/rng's PCG (Jarzynski and Olano 2020).
fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

struct Draws {
  key: u32, // of the tensor's first element
  least: u32, // the least draw that keeps an element
  kept: f32, // what is kept is divided by it
}

// `offset`: of the tensor in the larger one whose mask this is a part of, in elements.
fn draws_of(seed: u32, stream: u32, offset: u32, probability: f32) -> Draws {
  // Draws have 24 bits, and so has a probability: the least draw that keeps an element is a whole number.
  return Draws(pcg(pcg(seed) + stream) + offset, u32(ceil(probability * exp2(24.0))), 1.0 - probability);
}

fn dropped(draws: Draws, index: u32, value: f32) -> f32 {
  return select(0.0, value / draws.kept, pcg(draws.key + index) >> 8u >= draws.least);
}

// Elements 4i … 4i + 3.
fn dropped_vec4(draws: Draws, i: u32, value: vec4f) -> vec4f {
  let index = draws.key + 4u * i;
  let draw = vec4u(pcg(index), pcg(index + 1u), pcg(index + 2u), pcg(index + 3u)) >> vec4u(8u);
  return select(vec4f(), value / draws.kept, draw >= vec4u(draws.least));
}
