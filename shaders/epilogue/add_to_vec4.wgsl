// Four products are added to what is in their place.
fn epilogue_vec4(index: u32, values: vec4f) -> vec4f {
  return c[index] + values;
}
