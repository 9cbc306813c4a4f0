// Weights stored as f32.
alias WeightWord = f32;
const WEIGHTS_PER_WORD: u32 = 1u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return word;
}
