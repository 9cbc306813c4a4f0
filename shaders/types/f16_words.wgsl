// Weights stored as f16 in pairs, low half first, for devices without shader-f16.
alias WeightWords = vec2u;
fn weight_vec4(i: u32) -> vec4f {
  let words = weights[i];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}
