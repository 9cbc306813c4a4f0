enable f16;
// Weights stored as f16, where the device has shader-f16.
alias WeightWords = vec4<f16>;
fn weight_vec4(i: u32) -> vec4f {
  return vec4f(weights[i]);
}
