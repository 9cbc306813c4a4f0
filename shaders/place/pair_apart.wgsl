// Gate and up have buffers of their own.
@group(0) @binding(1) var<storage, read> gate: array<Elements>;
@group(0) @binding(2) var<storage, read> up: array<Elements>;
fn gate_operand(i: u32) -> Elements {
  return gate[i];
}
fn up_operand(i: u32) -> Elements {
  return up[i];
}
