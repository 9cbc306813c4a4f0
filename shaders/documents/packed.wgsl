// Sequences hold several documents, end to end. first[B·T]: where in its sequence the document of a row begins; it never
// falls along a sequence.
@group(0) @binding(8) var<storage, read> first: array<u32>;

fn first_row(row: u32) -> u32 {
  return first[row];
}
