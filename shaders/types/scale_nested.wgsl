// The scale of a block of 64 codes where scales are quantised too: 8-bit codes of a map, their f32 maxima by 256, the
// mean that was taken off, and the map follow the codes (`quantizedLayout` in src/core/quantization.ts).
fn weight_scale(block: u32) -> f32 {
  let scales = params.weight_blocks * 8u;
  let maxima = scales + (params.weight_blocks + 3u) / 4u;
  let mean = maxima + (params.weight_blocks + 255u) / 256u;
  let code = (weights[scales + block / 4u] >> (8u * (block % 4u))) & 255u;
  let centred = bitcast<f32>(weights[mean + 1u + code]) * bitcast<f32>(weights[maxima + block / 256u]);
  return centred + bitcast<f32>(weights[mean]);
}
