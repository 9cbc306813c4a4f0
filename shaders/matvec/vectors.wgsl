// A lane of matvec.wgsl takes four elements at a time: rows of whole vectors.
@group(0) @binding(1) var<storage, read> a: array<vec4f>;

fn lane_sums(column: u32, lane: u32) -> array<f32, ROWS> {
  let vectors = params.k / 4u;
  var sums: array<f32, ROWS>;
  for (var i = lane; i < vectors; i += LANES) {
    let weight = weight_vec4(column * vectors + i);
    for (var row = 0u; row < ROWS; row++) {
      sums[row] += dot(a[row * vectors + i], weight);
    }
  }
  return sums;
}
