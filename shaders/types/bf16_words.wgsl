// Weights stored as bfloat16 in pairs, low half first: the upper half of an f32.
alias WeightWord = u32;
const WEIGHTS_PER_WORD: u32 = 2u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, lane == 1u));
}
alias WeightVec4 = vec2u;
fn weight_vec4(words: WeightVec4) -> vec4f {
  return bitcast<vec4f>(vec4u(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}
