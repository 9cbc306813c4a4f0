// C[M, N] = epilogue(alpha · op(A)[M, K] · op(B)[K, N]) for adapters that run on a CPU: no workgroup memory and no
// barrier, which cost them dear; a thread computes 8 × 8 of C from blocks of 4 × 4 that stay in registers.
// N and K are multiples of 4, M too where A is transposed. A block is a matrix whose columns are rows of the tensor,
// so the product of two blocks, (B · A), has rows of C as columns.
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
fn block_a(row: u32, k: u32) -> mat4x4f {
  if (TRANSPOSE_A) {
    let stride = params.m / 4u;
    let i = k * stride + min(row / 4u, stride - 1u);
    return transpose(mat4x4f(a[i], a[i + stride], a[i + 2u * stride], a[i + 3u * stride]));
  }
  let stride = params.k / 4u;
  let last = params.m - 1u;
  let column = k / 4u;
  return mat4x4f(
    a[min(row, last) * stride + column],
    a[min(row + 1u, last) * stride + column],
    a[min(row + 2u, last) * stride + column],
    a[min(row + 3u, last) * stride + column],
  );
}

fn block_b(k: u32, column: u32) -> mat4x4f {
  if (TRANSPOSE_B) {
    let stride = params.k / 4u;
    let i = min(column, params.n - 4u) * stride + k / 4u;
    return transpose(rows_b(i, stride));
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

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let tile = id.x + id.y * groups.x * 16u;
  let tile_columns = (params.n + 7u) / 8u;
  let row = tile / tile_columns * 8u;
  let column = tile % tile_columns * 8u;
  if (row >= params.m) {
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
    sum00 += b0 * a0;
    sum01 += b1 * a0;
    let a1 = block_a(row + 4u, k);
    sum10 += b0 * a1;
    sum11 += b1 * a1;
  }
  for (var i = 0u; i < 4u; i++) {
    store(row + i, column, sum00[i]);
    store(row + i, column + 4u, sum01[i]);
    store(row + 4u + i, column, sum10[i]);
    store(row + 4u + i, column + 4u, sum11[i]);
  }
}
