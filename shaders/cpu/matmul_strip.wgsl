// Products with few columns, such as a LoRA adapter's, where subgroups have exactly eight lanes: the roles of
// cpu/matmul_quad.wgsl change. Lanes share 16 columns of B, of which each loads one part in eight and broadcasts it, and each
// computes 8 rows of them from blocks of A that it loads for itself.

// Four of K from k on, by the eight columns from `column` on: two blocks of B. Columns past the end are read from the last
// ones; what is computed from them is not stored.
fn column_blocks(k: u32, column: u32, lane: u32) -> BlockPair {
  if (TRANSPOSE_B) {
    return transposed_octet(shared_octet(weight_vec4((min(column + lane, params.n - 1u) * params.k + k) / 4u)));
  }
  let index = (k + lane % 4u) * (params.n / 4u) + min(column + lane / 4u * 4u, params.n - 4u) / 4u;
  return shared_octet(weight_vec4(index));
}

// A workgroup of eight lanes computes 64 rows and 16 columns.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_operands();
  let row = params.first_row + group.y * 64u + lane * 8u;
  let column = group.x * 16u;
  var sum00 = mat4x4f(); // the first digit is of four rows, the second of four columns
  var sum01 = mat4x4f();
  var sum02 = mat4x4f();
  var sum03 = mat4x4f();
  var sum10 = mat4x4f();
  var sum11 = mat4x4f();
  var sum12 = mat4x4f();
  var sum13 = mat4x4f();
  for (var k = 0u; k < params.k; k += 4u) {
    let near = column_blocks(k, column, lane);
    let far = column_blocks(k, column + 8u, lane);
    let upper = block_a(row, k);
    sum00 = multiply_add(sum00, near.first, upper);
    sum01 = multiply_add(sum01, near.second, upper);
    sum02 = multiply_add(sum02, far.first, upper);
    sum03 = multiply_add(sum03, far.second, upper);
    let lower = block_a(row + 4u, k);
    sum10 = multiply_add(sum10, near.first, lower);
    sum11 = multiply_add(sum11, near.second, lower);
    sum12 = multiply_add(sum12, far.first, lower);
    sum13 = multiply_add(sum13, far.second, lower);
  }
  for (var i = 0u; i < 4u; i++) {
    store(row + i, column, sum00[i]);
    store(row + i, column + 4u, sum01[i]);
    store(row + i, column + 8u, sum02[i]);
    store(row + i, column + 12u, sum03[i]);
    store(row + 4u + i, column, sum10[i]);
    store(row + 4u + i, column + 4u, sum11[i]);
    store(row + 4u + i, column + 8u, sum12[i]);
    store(row + 4u + i, column + 12u, sum13[i]);
  }
}
