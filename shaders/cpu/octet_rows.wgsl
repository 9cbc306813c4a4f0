// How rows of A come to matmul_quad.wgsl where subgroups have exactly eight lanes: each loads one in eight and broadcasts
// it, which is half the loads of quads.
enable subgroups;
struct RowBlocks {
  upper: mat4x4f, // rows 0 … 3
  lower: mat4x4f, // rows 4 … 7
}

// Rows past the end are read from the last one; what is computed from them is not stored.
fn row_blocks(row: u32, k: u32, lane: u32) -> RowBlocks {
  var index: u32;
  if (TRANSPOSE_A) {
    index = (k + lane % 4u) * (params.m / 4u) + min(row + lane / 4u * 4u, params.m - 4u) / 4u;
  } else {
    index = (min(row + lane, params.m - 1u) * params.k + k) / 4u;
  }
  let own = operand_a(index);
  let upper = mat4x4f(
    subgroupBroadcast(own, 0u),
    subgroupBroadcast(own, 1u),
    subgroupBroadcast(own, 2u),
    subgroupBroadcast(own, 3u),
  );
  let lower = mat4x4f(
    subgroupBroadcast(own, 4u),
    subgroupBroadcast(own, 5u),
    subgroupBroadcast(own, 6u),
    subgroupBroadcast(own, 7u),
  );
  if (TRANSPOSE_A) {
    return RowBlocks(transpose(upper), transpose(lower));
  }
  return RowBlocks(upper, lower);
}
