// AdamW with both moments in 8 bits (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization",
// arXiv:2110.02861), as bitsandbytes' AdamW8bit computes it: each block of 256 values is expanded by its scale and the
// dynamic map, updated in f32, and quantised again by its new largest magnitude. A workgroup a block, four values a lane.
// A step whose loss or norm is not finite changes nothing, so that the run can stop with the last good weights.
struct Params {
  blocks: u32,
  one_minus_beta1: f32, // 1 − β from the host: in f32 it would lose half its digits
  one_minus_beta2: f32,
  epsilon: f32,
  weight_decay: f32,
  max_norm: f32, // 0: no clipping
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> norm: array<u32>; // f32, read as words for the guard
@group(0) @binding(3) var<storage, read> loss: array<u32>; // likewise
@group(0) @binding(4) var<storage, read> schedule: array<f32>; // learning rate, 1 − β₁ᵗ, sqrt(1 − β₂ᵗ)
@group(0) @binding(5) var<storage, read> maps: array<f32>; // signed map, then unsigned map
@group(0) @binding(6) var<storage, read_write> parameter: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> codes: array<u32>; // of all first moments, then of all second ones
@group(0) @binding(8) var<storage, read_write> absmax: array<f32>; // likewise, one a block

const LANES: u32 = 64u;
const SIGNED: u32 = 0u;
const UNSIGNED: u32 = 256u;

var<workgroup> map: array<f32, 512>;

/// The four codes of a word, expanded.
fn expand(word: u32, table: u32) -> vec4f {
  return vec4f(
    map[table + (word & 0xffu)],
    map[table + ((word >> 8u) & 0xffu)],
    map[table + ((word >> 16u) & 0xffu)],
    map[table + (word >> 24u)],
  );
}

/// The code of the nearest value.
fn nearest(x: f32, table: u32) -> u32 {
  var low = 0u;
  for (var width = 128u; width > 0u; width >>= 1u) {
    if (map[table + low + width] <= x) {
      low += width;
    }
  }
  if (low < 255u && x > 0.5 * (map[table + low] + map[table + low + 1u])) {
    return low + 1u;
  }
  return low;
}

/// The same for a first moment, which never changes its sign by being rounded to zero or past it.
fn nearest_signed(x: f32) -> u32 {
  let code = nearest(x, SIGNED);
  let value = map[SIGNED + code];
  if (x < 0.0 && value >= 0.0) {
    return code - 1u;
  }
  if (x > 0.0 && value < 0.0) {
    return code + 1u;
  }
  return code;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = group.x + group.y * groups.x;
  let finite = finite_bits(norm[0]) && finite_bits(loss[0]);
  if (block >= params.blocks || !finite) {
    return;
  }
  for (var i = lane; i < 512u; i += LANES) {
    map[i] = maps[i];
  }
  workgroupBarrier();

  let i = block * LANES + lane;
  let words = params.blocks * LANES;
  var g = gradient[i];
  if (params.max_norm > 0.0) {
    g *= min(1.0, params.max_norm / (bitcast<f32>(norm[0]) + 1e-6));
  }
  var m = expand(codes[i], SIGNED) * absmax[block];
  var v = expand(codes[words + i], UNSIGNED) * absmax[params.blocks + block];
  m += (g - m) * params.one_minus_beta1;
  v = v * (1.0 - params.one_minus_beta2) + g * g * params.one_minus_beta2;

  let rate = schedule[0];
  let moved = parameter[i] - rate / schedule[1] * m / (sqrt(v) / schedule[2] + params.epsilon);
  parameter[i] = moved * (1.0 - rate * params.weight_decay);

  // A block of zeros has the scale 0; what its codes are doesn't matter then, but they must not come from 0 / 0.
  let m_largest = max(max(abs(m.x), abs(m.y)), max(abs(m.z), abs(m.w)));
  let v_largest = max(max(v.x, v.y), max(v.z, v.w));
  let m_scale = workgroup_max(m_largest, lane);
  let v_scale = workgroup_max(v_largest, lane);
  if (lane == 0u) {
    absmax[block] = m_scale;
    absmax[params.blocks + block] = v_scale;
  }
  let m_unit = m / select(1.0, m_scale, m_scale > 0.0);
  let v_unit = v / select(1.0, v_scale, v_scale > 0.0);
  var m_word = 0u;
  var v_word = 0u;
  for (var k = 0u; k < 4u; k++) {
    m_word |= nearest_signed(m_unit[k]) << (8u * k);
    v_word |= nearest(v_unit[k], UNSIGNED) << (8u * k);
  }
  codes[i] = m_word;
  codes[words + i] = v_word;
}
