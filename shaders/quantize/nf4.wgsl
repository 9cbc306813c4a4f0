// NF4 codes of a chunk of a weight tensor (QLoRA, arXiv:2305.14314), a thread a block of 64 elements: codes in the first
// words of the target, eight a word, the first element of each byte in its high nibble; scales where `store_scale` puts
// them. The source holds the chunk from its start.
struct Params {
  weight_blocks: u32, // of the source's type: it is never quantised
  target_blocks: u32,
}

struct Chunk {
  first_block: u32,
  blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<WeightWords>;
@group(0) @binding(2) var<storage, read> chunk: Chunk;
@group(0) @binding(3) var<storage, read_write> quantized: array<u32>;

// The midpoints between neighbouring codes: a value's code is the number of them that it exceeds.
const MIDPOINTS = array<f32, 15>(
  -0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544, -0.23460740596055984,
  -0.13791173323988914, -0.045525018125772477, 0.03979014977812767, 0.1202552504837513, 0.2035212516784668,
  0.2920137718319893, 0.3893125355243683, 0.5016634166240692, 0.6427869200706482, 0.8614784181118011,
);

// Four codes in a half word.
fn nf4_codes(values: vec4f) -> u32 {
  var codes = vec4u();
  for (var i = 0u; i < 15u; i++) {
    codes += select(vec4u(), vec4u(1u), values > vec4f(MIDPOINTS[i]));
  }
  let placed = codes << vec4u(4u, 0u, 12u, 8u);
  return placed.x | placed.y | placed.z | placed.w;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let block = id.x + id.y * groups.x * 64u;
  if (block >= min(chunk.blocks, params.target_blocks - chunk.first_block)) {
    return;
  }
  // What isn't finite makes a scale that isn't, which whoever reads the block sees.
  var largest = vec4u();
  for (var i = 0u; i < 16u; i++) {
    largest = max(largest, magnitude_bits(weight_vec4(block * 16u + i)));
  }
  let scale = largest_magnitude(largest);
  store_scale(chunk.first_block + block, scale);
  for (var word = 0u; word < 8u; word++) {
    var codes = 0u;
    if (scale > 0.0) {
      let first = nf4_codes(weight_vec4(block * 16u + word * 2u) / scale);
      let second = nf4_codes(weight_vec4(block * 16u + word * 2u + 1u) / scale);
      codes = first | (second << 16u);
    }
    quantized[(chunk.first_block + block) * 8u + word] = codes;
  }
}
