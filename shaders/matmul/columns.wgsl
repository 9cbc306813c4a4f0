// What the tile kernels for cards share beside matmul/blocks.wgsl.

// Four rows of A by four k, as columns of A. Rows past the end are read from the last one, and never stored.
fn columns_a(row: u32, k: u32) -> mat4x4f {
  if (TRANSPOSE_A) {
    let stride = params.m / 4u;
    let i = k * stride + min(row / 4u, stride - 1u);
    return mat4x4f(operand_a(i), operand_a(i + stride), operand_a(i + 2u * stride), operand_a(i + 3u * stride));
  }
  let stride = params.k / 4u;
  let last = params.m - 1u;
  let i = k / 4u;
  return transpose(mat4x4f(
    operand_a(min(row, last) * stride + i),
    operand_a(min(row + 1u, last) * stride + i),
    operand_a(min(row + 2u, last) * stride + i),
    operand_a(min(row + 3u, last) * stride + i),
  ));
}
