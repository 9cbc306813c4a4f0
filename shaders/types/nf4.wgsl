// 4-bit NormalFloat weights (QLoRA, arXiv:2305.14314): eight codes a word, the first element of each byte in its high
// nibble. `weight_scale` and `nf4_values` are modules of their own. Kernels that know where blocks begin read a scale once
// and unpack its words by themselves.
alias WeightWords = u32;
const BLOCK: u32 = 64u; // elements that share a scale

fn weight_vec4(i: u32) -> vec4f {
  return half_word(weights[i / 2u], 16u * (i % 2u), weight_scale(i / 16u));
}

// Four elements of a word: those of its lower half, or, shifted by 16, of its upper one.
fn half_word(word: u32, shift: u32, scale: f32) -> vec4f {
  let codes = word >> shift;
  return scale * nf4_values(vec4u(codes >> 4u, codes, codes >> 12u, codes >> 8u) & vec4u(15u));
}
