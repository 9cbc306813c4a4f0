enable subgroups;
// Products for cards without workgroup memory and without barriers, from the blocks of matmul/blocks.wgsl: the four lanes
// of a quad share 8 rows of A, of which each loads two and broadcasts them, and each computes 8 columns. A quad is there
// in subgroups of any size.

// Four rows of A by four k: each lane brings one of them. Rows past the end are read from the last one, and never stored.
fn quad_rows(row: u32, k: u32, quad_lane: u32) -> mat4x4f {
  let by_row = (min(row + quad_lane, params.m - 1u) * params.k + k) / 4u;
  let by_k = (k + quad_lane) * (params.m / 4u) + min(row / 4u, params.m / 4u - 1u);
  let own = operand_a(select(by_row, by_k, TRANSPOSE_A));
  let rows = mat4x4f(quadBroadcast(own, 0u), quadBroadcast(own, 1u), quadBroadcast(own, 2u), quadBroadcast(own, 3u));
  if (TRANSPOSE_A) {
    return transpose(rows);
  }
  return rows;
}

// A workgroup of 8 × 2 quads computes 64 rows and 64 columns.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_operands();
  let row = params.first_row + group.y * 64u + lane / 8u * 8u;
  let column = group.x * 64u + lane % 8u * 8u;
  let quad_lane = lane % 4u;
  var sum00 = mat4x4f();
  var sum01 = mat4x4f();
  var sum10 = mat4x4f();
  var sum11 = mat4x4f();
  for (var k = 0u; k < params.k; k += 4u) {
    let b0 = block_b(k, column);
    let b1 = block_b(k, column + 4u);
    let a0 = quad_rows(row, k, quad_lane);
    sum00 = multiply_add(sum00, b0, a0);
    sum01 = multiply_add(sum01, b1, a0);
    let a1 = quad_rows(row + 4u, k, quad_lane);
    sum10 = multiply_add(sum10, b0, a1);
    sum11 = multiply_add(sum11, b1, a1);
  }
  for (var i = 0u; i < 4u; i++) {
    store(row + i, column, sum00[i]);
    store(row + i, column + 4u, sum01[i]);
    store(row + 4u + i, column, sum10[i]);
    store(row + 4u + i, column + 4u, sum11[i]);
  }
}
