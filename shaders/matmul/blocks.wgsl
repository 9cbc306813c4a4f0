// What the block kernels for CPU adapters share: C[M, N] = epilogue(alpha · op(A)[M, K] · op(B)[K, N]) in blocks of 4 × 4
// that stay in registers. A block is a matrix whose columns are rows of the tensor, so the product of two blocks,
// (B · A), has rows of C as columns. N and K are multiples of 4, M too where A is transposed.
struct Params {
  m: u32,
  n: u32,
  k: u32,
  alpha: f32,
  weight_blocks: u32,
  first_row: u32, // of C, in this dispatch
  rows: u32, // of C, in this dispatch
  drop_offset: u32, // of the operand that is dropped, where one is; see operands/dropped.wgsl
  drop_stream: u32,
  drop_probability: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> weights: array<WeightWords>; // B
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // C

override TRANSPOSE_A: bool = false; // A is stored [K, M]
override TRANSPOSE_B: bool = false; // B is stored [N, K], as a linear's weight is

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
    weight_vec4(i),
    weight_vec4(i + stride),
    weight_vec4(i + 2u * stride),
    weight_vec4(i + 3u * stride),
  );
}

// sum + b · a as one chain of fused multiply-adds: CPU adapters don't fuse the operators by themselves.
fn multiply_add(sum: mat4x4f, b: mat4x4f, a: mat4x4f) -> mat4x4f {
  return mat4x4f(
    fma(b[0], vec4f(a[0].x), fma(b[1], vec4f(a[0].y), fma(b[2], vec4f(a[0].z), fma(b[3], vec4f(a[0].w), sum[0])))),
    fma(b[0], vec4f(a[1].x), fma(b[1], vec4f(a[1].y), fma(b[2], vec4f(a[1].z), fma(b[3], vec4f(a[1].w), sum[1])))),
    fma(b[0], vec4f(a[2].x), fma(b[1], vec4f(a[2].y), fma(b[2], vec4f(a[2].z), fma(b[3], vec4f(a[2].w), sum[2])))),
    fma(b[0], vec4f(a[3].x), fma(b[1], vec4f(a[3].y), fma(b[2], vec4f(a[3].z), fma(b[3], vec4f(a[3].w), sum[3])))),
  );
}

fn store(row: u32, column: u32, values: vec4f) {
  if (row < params.m && column < params.n) {
    let index = (row * params.n + column) / 4u;
    y[index] = epilogue(index, params.alpha * values);
  }
}
