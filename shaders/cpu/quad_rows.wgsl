// How rows of A come to matmul_quad.wgsl where subgroups have any number of lanes: each lane of a quad loads a quarter of
// them and broadcasts it.
struct BlockPair {
  first: mat4x4f, // rows 0 … 3
  second: mat4x4f, // rows 4 … 7
}

// Rows past the end are read from the last one; what is computed from them is not stored.
fn quad_block(row: u32, k: u32, quad_lane: u32) -> mat4x4f {
  var index: u32;
  if (TRANSPOSE_A) {
    index = (k + quad_lane) * (params.m / 4u) + min(row, params.m - 4u) / 4u;
  } else {
    index = (min(row + quad_lane, params.m - 1u) * params.k + k) / 4u;
  }
  let block = shared_rows(operand_a(index));
  if (TRANSPOSE_A) {
    return transpose(block);
  }
  return block;
}

fn row_blocks(row: u32, k: u32, lane: u32) -> BlockPair {
  return BlockPair(quad_block(row, k, lane % 4u), quad_block(row + 4u, k, lane % 4u));
}
