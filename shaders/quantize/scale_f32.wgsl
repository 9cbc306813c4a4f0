// Scales stand after the codes, as the kernels read them.
fn store_scale(block: u32, scale: f32) {
  quantized[params.target_blocks * 8u + block] = bitcast<u32>(scale);
}
