// Weights stored as bfloat16 in pairs, low half first: the upper half of an f32.
alias WeightWords = vec2u;
fn weight_vec4(i: u32) -> vec4f {
  let words = weights[i];
  return bitcast<vec4f>(vec4u(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}
