// C[M, N] = epilogue(alpha · op(A)[M, K] · op(B)[K, N]), row-major, f32 accumulation.
// A workgroup of 8 × 8 threads computes a 32 × 32 tile of C, 4 × 4 a thread, over tiles of 16 along K.
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
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<WeightWords>; // B
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // C

override TRANSPOSE_A: bool = false; // A is stored [K, M]
override TRANSPOSE_B: bool = false; // B is stored [N, K], as a linear's weight is

const TILE: u32 = 32u;
const TILE_K: u32 = 16u;
const THREADS: u32 = 64u;

// Both tiles are stored [k][row], four rows a vector, so that the inner loop reads vectors.
var<workgroup> a_tile: array<array<vec4f, TILE / 4u>, TILE_K>;
var<workgroup> b_tile: array<array<vec4f, TILE / 4u>, TILE_K>;

fn load_a(row: u32, k: u32) -> f32 {
  if (row >= params.m || k >= params.k) {
    return 0.0;
  }
  return operand_a(select(row * params.k + k, k * params.m + row, TRANSPOSE_A));
}

fn load_b(k: u32, column: u32) -> f32 {
  if (column >= params.n || k >= params.k) {
    return 0.0;
  }
  let index = select(k * params.n + column, column * params.k + k, TRANSPOSE_B);
  return weight_vec4(index / 4u)[index % 4u];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_operands();
  let row_base = params.first_row + group.y * TILE;
  let column_base = group.x * TILE;
  let thread_row = lane / 8u;
  let thread_column = lane % 8u;
  var sum0 = vec4f();
  var sum1 = vec4f();
  var sum2 = vec4f();
  var sum3 = vec4f();

  for (var k_base = 0u; k_base < params.k; k_base += TILE_K) {
    for (var i = lane; i < TILE * TILE_K; i += THREADS) {
      // Neighbouring threads read neighbouring addresses, whichever way the matrix is stored.
      let a_row = select(i / TILE_K, i % TILE, TRANSPOSE_A);
      let a_k = select(i % TILE_K, i / TILE, TRANSPOSE_A);
      a_tile[a_k][a_row / 4u][a_row % 4u] = load_a(row_base + a_row, k_base + a_k);
      let b_column = select(i % TILE, i / TILE_K, TRANSPOSE_B);
      let b_k = select(i / TILE, i % TILE_K, TRANSPOSE_B);
      b_tile[b_k][b_column / 4u][b_column % 4u] = load_b(k_base + b_k, column_base + b_column);
    }
    workgroupBarrier();
    for (var i = 0u; i < TILE_K; i++) {
      // Four k from the last to the first, as in multiply_add: every kernel of a product gives the same bits.
      let k = i ^ 3u;
      let a_rows = a_tile[k][thread_row];
      let b_columns = b_tile[k][thread_column];
      sum0 = fma(vec4f(a_rows.x), b_columns, sum0);
      sum1 = fma(vec4f(a_rows.y), b_columns, sum1);
      sum2 = fma(vec4f(a_rows.z), b_columns, sum2);
      sum3 = fma(vec4f(a_rows.w), b_columns, sum3);
    }
    workgroupBarrier();
  }

  let row = row_base + thread_row * 4u;
  let column = column_base + thread_column * 4u;
  store_row(row, column, sum0);
  store_row(row + 1u, column, sum1);
  store_row(row + 2u, column, sum2);
  store_row(row + 3u, column, sum3);
}

fn store_row(row: u32, column: u32, values: vec4f) {
  if (row >= params.m) {
    return;
  }
  for (var i = 0u; i < 4u; i++) {
    if (column + i < params.n) {
      let index = row * params.n + column + i;
      y[index] = epilogue(index, params.alpha * values[i]);
    }
  }
}
