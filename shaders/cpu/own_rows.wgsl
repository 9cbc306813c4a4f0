// Blocks of 4 × 4 of A that a thread loads for itself, as cpu/matmul_direct.wgsl and cpu/matmul_strip.wgsl take them.

// Rows past the end are read from the last one; what is computed from them is not stored.
fn block_a(row: u32, k: u32) -> mat4x4f {
  if (TRANSPOSE_A) {
    let stride = params.m / 4u;
    let i = k * stride + min(row / 4u, stride - 1u);
    return transpose(mat4x4f(operand_a(i), operand_a(i + stride), operand_a(i + 2u * stride), operand_a(i + 3u * stride)));
  }
  let stride = params.k / 4u;
  let last = params.m - 1u;
  let column = k / 4u;
  return mat4x4f(
    operand_a(min(row, last) * stride + column),
    operand_a(min(row + 1u, last) * stride + column),
    operand_a(min(row + 2u, last) * stride + column),
    operand_a(min(row + 3u, last) * stride + column),
  );
}
