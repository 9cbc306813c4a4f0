// Weights stored as f16 in pairs, low half first, for devices without shader-f16.
alias WeightWord = u32;
const WEIGHTS_PER_WORD: u32 = 2u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return unpack2x16float(word)[lane];
}
alias WeightVec4 = vec2u;
fn weight_vec4(words: WeightVec4) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}
