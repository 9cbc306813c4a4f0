// A lane of matvec.wgsl takes one element at a time: rows of any length.
@group(0) @binding(1) var<storage, read> a: array<f32>;

fn lane_sums(column: u32, lane: u32) -> array<f32, ROWS> {
  var sums: array<f32, ROWS>;
  for (var k = lane; k < params.k; k += LANES) {
    let index = column * params.k + k;
    let weight = weight_vec4(index / 4u)[index % 4u];
    for (var row = 0u; row < ROWS; row++) {
      sums[row] = fma(a[row * params.k + k], weight, sums[row]);
    }
  }
  return sums;
}
