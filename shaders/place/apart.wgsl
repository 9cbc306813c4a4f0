// The operand has a buffer of its own.
@group(0) @binding(1) var<storage, read> x: array<f32>;
fn operand(i: u32) -> f32 {
  return x[i];
}
