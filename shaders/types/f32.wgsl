// Weights stored as f32. Like every type: `weight_vec4(i)` gives elements 4i … 4i + 3 of the tensor that the shader binds
// as `weights: array<WeightWords>`.
alias WeightWords = vec4f;
fn weight_vec4(i: u32) -> vec4f {
  return weights[i];
}
