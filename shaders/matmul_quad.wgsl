enable subgroups;
// C[M, N] = epilogue(alpha · op(A)[M, K] · op(B)[K, N]) for adapters that run on a CPU and have subgroups. As in
// matmul_direct.wgsl, blocks of 4 × 4 stay in registers; here the four lanes of a quad share 16 rows of A, each loads
// a quarter of them and broadcasts it, and each computes 8 columns: loads are what a CPU adapter pays most for.
// N and K are multiples of 4, M too where A is transposed.
struct Params {
  m: u32,
  n: u32,
  k: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<WeightVec4>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;

override TRANSPOSE_A: bool = false; // A is stored [K, M]
override TRANSPOSE_B: bool = false; // B is stored [N, K], as a linear's weight is

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

fn block_b(k: u32, column: u32) -> mat4x4f {
  if (TRANSPOSE_B) {
    let stride = params.k / 4u;
    return transpose(rows_b(min(column, params.n - 4u) * stride + k / 4u, stride));
  }
  let stride = params.n / 4u;
  return rows_b(k * stride + min(column / 4u, stride - 1u), stride);
}

fn rows_b(i: u32, stride: u32) -> mat4x4f {
  return mat4x4f(
    weight_vec4(b[i]),
    weight_vec4(b[i + stride]),
    weight_vec4(b[i + 2u * stride]),
    weight_vec4(b[i + 3u * stride]),
  );
}

fn store(row: u32, column: u32, values: vec4f) {
  if (row < params.m && column < params.n) {
    let index = (row * params.n + column) / 4u;
    c[index] = epilogue_vec4(index, params.alpha * values);
  }
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
    sum00 += b0 * a0;
    sum01 += b1 * a0;
    let a1 = block_a(row + 4u, k, quad_lane);
    sum10 += b0 * a1;
    sum11 += b1 * a1;
    let a2 = block_a(row + 8u, k, quad_lane);
    sum20 += b0 * a2;
    sum21 += b1 * a2;
    let a3 = block_a(row + 12u, k, quad_lane);
    sum30 += b0 * a3;
    sum31 += b1 * a3;
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
