// Weights stored as bfloat16 in pairs, low half first: the upper half of an f32.
alias WeightWord = u32;
const WEIGHTS_PER_WORD: u32 = 2u;
fn weight_element(word: WeightWord, lane: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, lane == 1u));
}
