// Weights stored as f16 in pairs, low half first, for devices without shader-f16.
alias WeightWord = u32;
const WEIGHTS_PER_WORD: u32 = 2u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return unpack2x16float(word)[lane];
}
