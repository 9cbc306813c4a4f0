// The products of matmul_quad.wgsl with weights of any type: four of K at a time.
fn quad_products(row: u32, column: u32, lane: u32) -> Sums {
  var sums = Sums();
  for (var k = 0u; k < params.k; k += 4u) {
    sums = add_products(sums, block_b(k, column), block_b(k, column + 4u), row, k, lane);
  }
  return sums;
}
