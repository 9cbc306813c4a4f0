// A is dropped, and read by elements.
fn operand_a(i: u32) -> Elements {
  return dropped(draws, i, a[i]);
}
