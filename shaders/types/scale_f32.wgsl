// The scale of a block of 64 codes: an f32 after all the codes.
fn weight_scale(block: u32) -> f32 {
  return bitcast<f32>(weights[params.weight_blocks * 8u + block]);
}
