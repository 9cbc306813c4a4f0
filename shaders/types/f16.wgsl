enable f16;
// Weights stored as f16, where the device has shader-f16.
alias WeightWord = f16;
const WEIGHTS_PER_WORD: u32 = 1u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return f32(word);
}
