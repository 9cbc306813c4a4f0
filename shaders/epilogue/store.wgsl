// A result is stored as it is, however many elements a thread takes.
fn epilogue(index: u32, value: Elements) -> Elements {
  return value;
}
