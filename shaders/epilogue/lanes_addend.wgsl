// Adds what is bound at 4, however many elements a thread takes.
@group(0) @binding(4) var<storage, read> addend: array<Elements>;
fn epilogue_lanes(index: u32, value: Elements) -> Elements {
  return addend[index] + value;
}
