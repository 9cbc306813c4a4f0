// A is dropped, and read by vectors.
fn operand_a(i: u32) -> Elements {
  return dropped_vec4(draws, i, a[i]);
}
