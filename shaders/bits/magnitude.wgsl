// Magnitudes as words: of numbers without their sign, the words are ordered as the numbers are, infinity above them and
// NaN above that. A maximum of words thus keeps what isn't finite, where `max` of numbers may pass NaN over.
fn magnitude_bits(x: vec4f) -> vec4u {
  return bitcast<vec4u>(x) & vec4u(0x7fffffffu);
}

fn largest_magnitude(words: vec4u) -> f32 {
  return bitcast<f32>(max(max(words.x, words.y), max(words.z, words.w)));
}
