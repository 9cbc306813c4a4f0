enable f16;
// Weights stored as f16, where the device has shader-f16.
alias WeightWord = f16;
const WEIGHTS_PER_WORD: u32 = 1u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return f32(word);
}
alias WeightVec4 = vec4<f16>;
fn weight_vec4(words: WeightVec4) -> vec4f {
  return vec4f(words);
}
