// dgate takes the place of gate, and dup that of up: each thread reads the elements that it will write, before it writes
// them.
fn gate_operand(i: u32) -> Elements {
  return dgate[i];
}
fn up_operand(i: u32) -> Elements {
  return dup[i];
}
