// GGUF's Q8_0 of a chunk of a weight tensor: blocks of 32 elements, scale = largest / 127 kept as f16, codes rounded
// half away from zero. A thread takes two blocks, whose scales share a word.
struct Params {
  weight_blocks: u32, // of the source's type: it is never quantised
  target_blocks: u32,
}

struct Chunk {
  first_pair: u32,
  pairs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<WeightWords>;
@group(0) @binding(2) var<storage, read> chunk: Chunk;
@group(0) @binding(3) var<storage, read_write> quantized: array<u32>;

// Writes the codes of a block and returns its scale.
fn quantize_block(source: u32, block: u32) -> f32 {
  // What isn't finite makes a scale that isn't, which whoever reads the block sees.
  var largest = vec4u();
  for (var i = 0u; i < 8u; i++) {
    largest = max(largest, magnitude_bits(weight_vec4(source * 8u + i)));
  }
  let scale = largest_magnitude(largest) / 127.0;
  let inverse = select(0.0, 1.0 / scale, scale > 0.0);
  for (var i = 0u; i < 8u; i++) {
    let scaled = weight_vec4(source * 8u + i) * inverse;
    let codes = bitcast<vec4u>(vec4i(sign(scaled) * floor(abs(scaled) + 0.5))) & vec4u(255u);
    let placed = codes << vec4u(0u, 8u, 16u, 24u);
    quantized[block * 8u + i] = placed.x | placed.y | placed.z | placed.w;
  }
  return scale;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let pair = id.x + id.y * groups.x * 64u;
  if (pair >= chunk.pairs) {
    return;
  }
  let target_pair = chunk.first_pair + pair;
  let first = quantize_block(pair * 2u, target_pair * 2u);
  let second = quantize_block(pair * 2u + 1u, target_pair * 2u + 1u);
  quantized[params.target_blocks * 8u + target_pair] = pack2x16float(vec2f(first, second));
}
