// A product reads A as it is stored.
fn prepare_operands() {
}

fn operand_a(i: u32) -> Elements {
  return a[i];
}
