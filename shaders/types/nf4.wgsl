// 4-bit NormalFloat weights (QLoRA, arXiv:2305.14314): eight codes a word, the first element of each byte in its high
// nibble. `weight_scale` and `nf4_values` are modules of their own.
alias WeightWords = u32;
fn weight_vec4(i: u32) -> vec4f {
  let codes = weights[i / 2u] >> (16u * (i % 2u));
  return weight_scale(i / 16u) * nf4_values(vec4u(codes >> 4u, codes, codes >> 12u, codes >> 8u) & vec4u(15u));
}
