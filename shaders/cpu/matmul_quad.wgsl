// Products for adapters that run on a CPU and have subgroups, from the blocks of matmul/blocks.wgsl. Lanes share 16 rows
// of A, as the module `row_blocks` loads them, and each computes 8 columns. Loads are what a CPU adapter pays most for. How
// blocks of B come is a module too: `quad_products`.

// Sums of the lane's 16 rows by its 8 columns: the first digit is of four rows, the second of four columns.
struct Sums {
  s00: mat4x4f,
  s01: mat4x4f,
  s10: mat4x4f,
  s11: mat4x4f,
  s20: mat4x4f,
  s21: mat4x4f,
  s30: mat4x4f,
  s31: mat4x4f,
}

// Adds the products of four of K, from k on, with the blocks of B that are the lane's.
fn add_products(sums: Sums, b0: mat4x4f, b1: mat4x4f, row: u32, k: u32, lane: u32) -> Sums {
  let upper = row_blocks(row, k, lane);
  let lower = row_blocks(row + 8u, k, lane);
  return Sums(
    multiply_add(sums.s00, b0, upper.first),
    multiply_add(sums.s01, b1, upper.first),
    multiply_add(sums.s10, b0, upper.second),
    multiply_add(sums.s11, b1, upper.second),
    multiply_add(sums.s20, b0, lower.first),
    multiply_add(sums.s21, b1, lower.first),
    multiply_add(sums.s30, b0, lower.second),
    multiply_add(sums.s31, b1, lower.second),
  );
}

// Eight lanes compute 16 rows and 64 columns; a workgroup has OCTETS times eight (1 or 2).
@compute @workgroup_size(8u * OCTETS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_operands();
  let row = params.first_row + (group.y * OCTETS + lane / 8u) * 16u;
  let column = group.x * 64u + lane % 8u * 8u;
  let sums = quad_products(row, column, lane % 8u);
  store_rows(row, column, sums.s00, sums.s01);
  store_rows(row + 4u, column, sums.s10, sums.s11);
  store_rows(row + 8u, column, sums.s20, sums.s21);
  store_rows(row + 12u, column, sums.s30, sums.s31);
}

fn store_rows(row: u32, column: u32, low: mat4x4f, high: mat4x4f) {
  for (var i = 0u; i < 4u; i++) {
    store(row + i, column, low[i]);
    store(row + i, column + 4u, high[i]);
  }
}
