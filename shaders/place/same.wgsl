// The result takes the operand's place: each thread reads the elements that it will write, before it writes them.
fn operand(i: u32) -> Elements {
  return y[i];
}
