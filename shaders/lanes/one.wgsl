// Elements that a thread takes at once: one, where rows are no whole vectors.
alias Elements = f32;
const WIDTH: u32 = 1u;
fn total(value: Elements) -> f32 {
  return value;
}
