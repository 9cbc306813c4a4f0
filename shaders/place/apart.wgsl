// The operand has a buffer of its own.
@group(0) @binding(1) var<storage, read> x: array<Elements>;
fn operand(i: u32) -> Elements {
  return x[i];
}
