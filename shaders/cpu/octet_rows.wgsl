// How rows of A come to matmul_quad.wgsl where subgroups have exactly eight lanes: each loads one in eight and shares it,
// which is half the loads of quads.

// Rows row … row + 3 and the next four. Rows past the end are read from the last one; what is computed from them is not stored.
fn row_blocks(row: u32, k: u32, lane: u32) -> BlockPair {
  if (TRANSPOSE_A) {
    let index = (k + lane % 4u) * (params.m / 4u) + min(row + lane / 4u * 4u, params.m - 4u) / 4u;
    return transposed_octet(shared_octet(operand_a(index)));
  }
  return shared_octet(operand_a((min(row + lane, params.m - 1u) * params.k + k) / 4u));
}
