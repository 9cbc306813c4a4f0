// Elements that a thread takes at once: four, as one load.
alias Elements = vec4f;
const WIDTH: u32 = 4u;
fn total(value: Elements) -> f32 {
  return (value.x + value.y) + (value.z + value.w);
}
