// Whether a number is finite, by its bits: WGSL lets a compiler take it that no number is NaN or infinite (W3C WGSL,
// section 15.7.3), so that a comparison proves nothing.
fn finite_bits(word: u32) -> bool {
  return (word & 0x7f800000u) != 0x7f800000u;
}
