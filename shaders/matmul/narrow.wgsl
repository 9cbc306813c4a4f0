// Products of few rows or few columns for cards, as LoRA's with their rank: a workgroup computes 16 × 16 of C, so that
// there are many, a thread four neighbours of a row, over tiles of 64 along K in workgroup memory. A thread carries one
// block of A and one of B there, and fetches the next two while it multiplies.
const SIDE: u32 = 16u;
const BLOCKS: u32 = SIDE / 4u;
const TILE_K: u32 = 64u;
const STEPS: u32 = TILE_K / 4u;

// [k][row], four rows or columns a vector.
var<workgroup> a_tile: array<array<vec4f, BLOCKS>, TILE_K>;
var<workgroup> b_tile: array<array<vec4f, BLOCKS>, TILE_K>;

// Neighbouring threads read neighbouring addresses, whichever way the matrix is stored.
fn place_of(lane: u32, along_k: bool) -> vec2u {
  return select(vec2u(lane % BLOCKS, lane / BLOCKS), vec2u(lane / STEPS, lane % STEPS), along_k);
}

// Past the end of K both operands are zero.
fn fetch_a(row: u32, k: u32) -> mat4x4f {
  if (k < params.k) {
    return columns_a(row, k);
  }
  return mat4x4f();
}

fn fetch_b(k: u32, column: u32) -> mat4x4f {
  if (k < params.k) {
    return block_b(k, column);
  }
  return mat4x4f();
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_operands();
  let a_place = place_of(lane, !TRANSPOSE_A);
  let b_place = place_of(lane, TRANSPOSE_B);
  let row = params.first_row + group.y * SIDE;
  let a_row = row + 4u * a_place.x;
  let b_column = group.x * SIDE + 4u * b_place.x;
  let thread_row = lane / BLOCKS;
  let thread_column = lane % BLOCKS;
  var sum = vec4f();
  var next_a = fetch_a(a_row, 4u * a_place.y);
  var next_b = fetch_b(4u * b_place.y, b_column);
  for (var k_base = 0u; k_base < params.k; k_base += TILE_K) {
    for (var i = 0u; i < 4u; i++) {
      a_tile[4u * a_place.y + i][a_place.x] = next_a[i];
      b_tile[4u * b_place.y + i][b_place.x] = next_b[i];
    }
    workgroupBarrier();
    next_a = fetch_a(a_row, k_base + TILE_K + 4u * a_place.y);
    next_b = fetch_b(k_base + TILE_K + 4u * b_place.y, b_column);
    for (var i = 0u; i < TILE_K; i++) {
      // Four k from the last to the first, as in multiply_add: every kernel of a product gives the same bits.
      let k = i ^ 3u;
      sum = fma(b_tile[k][thread_column], vec4f(a_tile[k][thread_row / 4u][thread_row % 4u]), sum);
    }
    workgroupBarrier();
  }
  store(row + thread_row, group.x * SIDE + 4u * thread_column, sum);
}
