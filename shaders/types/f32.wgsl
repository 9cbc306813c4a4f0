// Weights stored as f32.
alias WeightWord = f32;
const WEIGHTS_PER_WORD: u32 = 1u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return word;
}
alias WeightVec4 = vec4f;
fn weight_vec4(words: WeightVec4) -> vec4f {
  return words;
}
