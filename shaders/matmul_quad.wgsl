enable subgroups;
// Products for adapters that run on a CPU and have subgroups, from the blocks of matmul_blocks.wgsl. The four lanes of
// a quad share 16 rows of A: each loads a quarter of them and broadcasts it, and each computes 8 columns. Loads are what
// a CPU adapter pays most for.

// Rows past the end are read from the last one; what is computed from them is not stored.
fn block_a(row: u32, k: u32, quad_lane: u32) -> mat4x4f {
  var index: u32;
  if (TRANSPOSE_A) {
    index = (k + quad_lane) * (params.m / 4u) + min(row, params.m - 4u) / 4u;
  } else {
    index = (min(row + quad_lane, params.m - 1u) * params.k + k) / 4u;
  }
  let share = a[index];
  let block = mat4x4f(
    quadBroadcast(share, 0u),
    quadBroadcast(share, 1u),
    quadBroadcast(share, 2u),
    quadBroadcast(share, 3u),
  );
  if (TRANSPOSE_A) {
    return transpose(block);
  }
  return block;
}

// A workgroup of 2 × 2 quads computes 32 rows and 64 columns.
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * 2u + lane / 8u) * 16u;
  let column = group.x * 64u + lane % 8u * 8u;
  let quad_lane = lane % 4u;
  var sum00 = mat4x4f();
  var sum01 = mat4x4f();
  var sum10 = mat4x4f();
  var sum11 = mat4x4f();
  var sum20 = mat4x4f();
  var sum21 = mat4x4f();
  var sum30 = mat4x4f();
  var sum31 = mat4x4f();
  for (var k = 0u; k < params.k; k += 4u) {
    let b0 = block_b(k, column);
    let b1 = block_b(k, column + 4u);
    let a0 = block_a(row, k, quad_lane);
    sum00 = multiply_add(sum00, b0, a0);
    sum01 = multiply_add(sum01, b1, a0);
    let a1 = block_a(row + 4u, k, quad_lane);
    sum10 = multiply_add(sum10, b0, a1);
    sum11 = multiply_add(sum11, b1, a1);
    let a2 = block_a(row + 8u, k, quad_lane);
    sum20 = multiply_add(sum20, b0, a2);
    sum21 = multiply_add(sum21, b1, a2);
    let a3 = block_a(row + 12u, k, quad_lane);
    sum30 = multiply_add(sum30, b0, a3);
    sum31 = multiply_add(sum31, b1, a3);
  }
  for (var i = 0u; i < 4u; i++) {
    store(row + i, column, sum00[i]);
    store(row + i, column + 4u, sum01[i]);
    store(row + 4u + i, column, sum10[i]);
    store(row + 4u + i, column + 4u, sum11[i]);
    store(row + 8u + i, column, sum20[i]);
    store(row + 8u + i, column + 4u, sum21[i]);
    store(row + 12u + i, column, sum30[i]);
    store(row + 12u + i, column + 4u, sum31[i]);
  }
}
