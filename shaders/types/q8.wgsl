// 8-bit weights (GGUF's Q8_0): four int8 a word, an f16 scale for each 32 of them after all the codes.
alias WeightWords = u32;
fn weight_vec4(i: u32) -> vec4f {
  let word = weights[i];
  let block = i / 8u;
  let scale = unpack2x16float(weights[params.weight_blocks * 8u + block / 2u])[block % 2u];
  return scale * vec4f(vec4i(vec4u(word << 24u, word << 16u, word << 8u, word)) >> vec4u(24u));
}
