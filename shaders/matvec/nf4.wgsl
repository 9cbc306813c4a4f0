// A lane of matvec.wgsl takes a word of eight NF4 codes at a time, and reads its scale once: rows of whole blocks.
@group(0) @binding(1) var<storage, read> a: array<vec4f>;

fn lane_sums(column: u32, lane: u32) -> array<f32, ROWS> {
  let words = params.k / 8u;
  var sums: array<f32, ROWS>;
  for (var i = lane; i < words; i += LANES) {
    let index = column * words + i;
    let word = weights[index];
    let scale = weight_scale(index / 8u);
    let low = half_word(word, 0u, scale);
    let high = half_word(word, 16u, scale);
    for (var row = 0u; row < ROWS; row++) {
      let at = 2u * (row * words + i);
      sums[row] += dot(a[at], low) + dot(a[at + 1u], high);
    }
  }
  return sums;
}
