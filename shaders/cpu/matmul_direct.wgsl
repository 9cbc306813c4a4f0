// Products for adapters that run on a CPU: no workgroup memory and no barrier, which cost them dear. A thread computes
// 8 × 8 of C from the blocks of matmul/blocks.wgsl and cpu/own_rows.wgsl.

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  prepare_operands();
  let tile = id.x + id.y * groups.x * 16u;
  let tile_columns = (params.n + 7u) / 8u;
  let row = params.first_row + tile / tile_columns * 8u;
  let column = tile % tile_columns * 8u;
  if (row >= params.first_row + params.rows) {
    return;
  }
  var sum00 = mat4x4f();
  var sum01 = mat4x4f();
  var sum10 = mat4x4f();
  var sum11 = mat4x4f();
  for (var k = 0u; k < params.k; k += 4u) {
    let b0 = block_b(k, column);
    let b1 = block_b(k, column + 4u);
    let a0 = block_a(row, k);
    sum00 = multiply_add(sum00, b0, a0);
    sum01 = multiply_add(sum01, b1, a0);
    let a1 = block_a(row + 4u, k);
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
