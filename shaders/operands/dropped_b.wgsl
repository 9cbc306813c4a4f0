// B is f32 and dropped, and A as it is stored.
alias WeightWords = vec4f;
fn weight_vec4(i: u32) -> vec4f {
  return dropped_vec4(draws, i, weights[i]);
}

fn operand_a(i: u32) -> Elements {
  return a[i];
}
