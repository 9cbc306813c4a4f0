// Products for cards, from the blocks of matmul/blocks.wgsl and matmul/columns.wgsl: a workgroup of 16 × 16 threads computes a tile of C of 64 or
// 128 rows and columns, a thread BLOCK_ROWS × BLOCK_COLUMNS (1 or 2 each) blocks of 4 × 4, over tiles of TILE_K along K in
// workgroup memory. Each thread carries at most one block of A or B there, and fetches the next one while it multiplies.
const SIDE: u32 = 16u;
const ROWS: u32 = SIDE * BLOCK_ROWS; // of the tile, in blocks
const COLUMNS: u32 = SIDE * BLOCK_COLUMNS;
const STEPS: u32 = TILE_K / 4u;

// [k][row], four rows or columns a vector, so that a step of the inner loop reads vectors.
var<workgroup> a_tile: array<array<vec4f, ROWS>, TILE_K>;
var<workgroup> b_tile: array<array<Staged, COLUMNS>, TILE_K>;

// The block that a thread carries: of A or B, its place along M or N, and along K.
struct Load {
  of_a: bool,
  of_b: bool,
  place: u32,
  step: u32,
}

// Neighbouring threads read neighbouring addresses, whichever way the matrix is stored.
fn load_of(lane: u32) -> Load {
  if (lane < STEPS * ROWS) {
    return Load(true, false, select(lane / STEPS, lane % ROWS, TRANSPOSE_A), select(lane % STEPS, lane / ROWS, TRANSPOSE_A));
  }
  let i = lane - STEPS * ROWS;
  let of_b = i < STEPS * COLUMNS;
  return Load(false, of_b, select(i % COLUMNS, i / STEPS, TRANSPOSE_B), select(i / COLUMNS, i % STEPS, TRANSPOSE_B));
}

// Past the end of K both operands are zero.
fn fetch(load: Load, row: u32, column: u32, k_base: u32) -> mat4x4f {
  let k = k_base + 4u * load.step;
  if (k < params.k) {
    if (load.of_a) {
      return columns_a(row + 4u * load.place, k);
    }
    if (load.of_b) {
      return block_b(k, column + 4u * load.place);
    }
  }
  return mat4x4f();
}

// Vectors of different steps change places, so that threads that write them at once use different banks.
fn swizzled(place: u32, step: u32) -> u32 {
  return place ^ (step * (8u / STEPS));
}

fn put(load: Load, block: mat4x4f) {
  let place = swizzled(load.place, load.step);
  for (var i = 0u; i < 4u; i++) {
    if (load.of_a) {
      a_tile[4u * load.step + i][place] = block[i];
    }
    if (load.of_b) {
      b_tile[4u * load.step + i][place] = Staged(block[i]);
    }
  }
}

fn outer_add(sum: mat4x4f, b: vec4f, a: vec4f) -> mat4x4f {
  return mat4x4f(
    fma(b, vec4f(a.x), sum[0]),
    fma(b, vec4f(a.y), sum[1]),
    fma(b, vec4f(a.z), sum[2]),
    fma(b, vec4f(a.w), sum[3]),
  );
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_operands();
  let tile_row = params.first_row + group.y * ROWS * 4u;
  let tile_column = group.x * COLUMNS * 4u;
  let thread_row = lane / SIDE;
  let thread_column = lane % SIDE;
  let load = load_of(lane);
  var sum00 = mat4x4f();
  var sum01 = mat4x4f();
  var sum10 = mat4x4f();
  var sum11 = mat4x4f();

  var next = fetch(load, tile_row, tile_column, 0u);
  for (var k_base = 0u; k_base < params.k; k_base += TILE_K) {
    put(load, next);
    workgroupBarrier();
    next = fetch(load, tile_row, tile_column, k_base + TILE_K);
    for (var i = 0u; i < TILE_K; i++) {
      // Four k from the last to the first, as in multiply_add: every kernel of a product gives the same bits.
      let k = i ^ 3u;
      let row = swizzled(thread_row, k / 4u);
      let column = swizzled(thread_column, k / 4u);
      let a0 = a_tile[k][row];
      let b0 = vec4f(b_tile[k][column]);
      sum00 = outer_add(sum00, b0, a0);
      if (BLOCK_COLUMNS > 1u) {
        sum01 = outer_add(sum01, vec4f(b_tile[k][column + SIDE]), a0);
      }
      if (BLOCK_ROWS > 1u) {
        let a1 = a_tile[k][row + SIDE];
        sum10 = outer_add(sum10, b0, a1);
        if (BLOCK_COLUMNS > 1u) {
          sum11 = outer_add(sum11, vec4f(b_tile[k][column + SIDE]), a1);
        }
      }
    }
    workgroupBarrier();
  }

  let row = tile_row + 4u * thread_row;
  let column = tile_column + 4u * thread_column;
  for (var i = 0u; i < 4u; i++) {
    store(row + i, column, sum00[i]);
    if (BLOCK_COLUMNS > 1u) {
      store(row + i, column + 4u * SIDE, sum01[i]);
    }
    if (BLOCK_ROWS > 1u) {
      store(row + i + 4u * SIDE, column, sum10[i]);
      if (BLOCK_COLUMNS > 1u) {
        store(row + i + 4u * SIDE, column + 4u * SIDE, sum11[i]);
      }
    }
  }
}
