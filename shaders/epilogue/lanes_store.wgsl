// The value as it is, however many elements a thread takes.
fn epilogue_lanes(index: u32, value: Elements) -> Elements {
  return value;
}
