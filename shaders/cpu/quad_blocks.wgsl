// What the attention kernels for CPU adapters with subgroups share. A quad works on blocks of 16 rows by 32 columns (of
// scores, or of their gradient), and its four lanes share what they load: loads are what a CPU adapter pays most for.
// Named fields, for such adapters go through arrays slowly.
//
// A block is made with eight columns a lane: b0 and b1 belong to rows 0 … 3, b2 and b3 to the next four, and so on, the
// even one to the lane's first four columns. It is used with four rows a lane: then b0 … b7 are those rows' columns, four
// each. Either way a row of the block is a column of a matrix.
struct Block {
  b0: mat4x4f,
  b1: mat4x4f,
  b2: mat4x4f,
  b3: mat4x4f,
  b4: mat4x4f,
  b5: mat4x4f,
  b6: mat4x4f,
  b7: mat4x4f,
}

const BLOCK_ROWS: u32 = 16u;
const BLOCK_COLUMNS: u32 = 32u;

// One vector for each of the lane's eight columns.
struct Columns {
  v0: vec4f,
  v1: vec4f,
  v2: vec4f,
  v3: vec4f,
  v4: vec4f,
  v5: vec4f,
  v6: vec4f,
  v7: vec4f,
}

// Where the rows of a tensor stand that are the lane's eight columns.
struct Offsets {
  o0: u32,
  o1: u32,
  o2: u32,
  o3: u32,
  o4: u32,
  o5: u32,
  o6: u32,
  o7: u32,
}

// Eight rows from `row` on; rows past the last are read from it.
fn row_offsets(origin: u32, stride: u32, row: u32, last: u32) -> Offsets {
  return Offsets(
    origin + min(row, last) * stride,
    origin + min(row + 1u, last) * stride,
    origin + min(row + 2u, last) * stride,
    origin + min(row + 3u, last) * stride,
    origin + min(row + 4u, last) * stride,
    origin + min(row + 5u, last) * stride,
    origin + min(row + 6u, last) * stride,
    origin + min(row + 7u, last) * stride,
  );
}

// Vector d of the lane's eight columns: of those whose products with rows make scores, and of those that the scores
// weigh. The kernel says which tensors these are: `score_operand(i)` and `value_operand(i)` are their vectors.
fn score_columns(at: Offsets, d: u32) -> Columns {
  return Columns(
    score_operand(at.o0 + d),
    score_operand(at.o1 + d),
    score_operand(at.o2 + d),
    score_operand(at.o3 + d),
    score_operand(at.o4 + d),
    score_operand(at.o5 + d),
    score_operand(at.o6 + d),
    score_operand(at.o7 + d),
  );
}

fn value_columns(at: Offsets, d: u32) -> Columns {
  return Columns(
    value_operand(at.o0 + d),
    value_operand(at.o1 + d),
    value_operand(at.o2 + d),
    value_operand(at.o3 + d),
    value_operand(at.o4 + d),
    value_operand(at.o5 + d),
    value_operand(at.o6 + d),
    value_operand(at.o7 + d),
  );
}

// Adds the products of 16 rows, four from each lane's vector, with the lane's columns, over four numbers of each.
fn add_products(b: Block, r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f, c: Columns) -> Block {
  let low = transpose(mat4x4f(c.v0, c.v1, c.v2, c.v3));
  let high = transpose(mat4x4f(c.v4, c.v5, c.v6, c.v7));
  let rows0 = shared_rows(r0);
  let rows1 = shared_rows(r1);
  let rows2 = shared_rows(r2);
  let rows3 = shared_rows(r3);
  return Block(
    b.b0 + low * rows0,
    b.b1 + high * rows0,
    b.b2 + low * rows1,
    b.b3 + high * rows1,
    b.b4 + low * rows2,
    b.b5 + high * rows2,
    b.b6 + low * rows3,
    b.b7 + high * rows3,
  );
}

struct Pair {
  first: mat4x4f,
  second: mat4x4f,
}

// By selects, as each branch makes a CPU adapter's compiler go over all that is held once more: two seconds instead of one.
fn chosen(yes: mat4x4f, no: mat4x4f, condition: bool) -> mat4x4f {
  let all = vec4<bool>(condition);
  return mat4x4f(
    select(no[0], yes[0], all),
    select(no[1], yes[1], all),
    select(no[2], yes[2], all),
    select(no[3], yes[3], all),
  );
}

// Neighbours trade: the lane that is `odd` gives its first matrix for the other's second.
fn trade_x(first: mat4x4f, second: mat4x4f, odd: bool) -> Pair {
  let given = chosen(first, second, odd);
  let got = mat4x4f(quadSwapX(given[0]), quadSwapX(given[1]), quadSwapX(given[2]), quadSwapX(given[3]));
  return Pair(chosen(got, first, odd), chosen(second, got, odd));
}

fn trade_y(first: mat4x4f, second: mat4x4f, odd: bool) -> Pair {
  let given = chosen(first, second, odd);
  let got = mat4x4f(quadSwapY(given[0]), quadSwapY(given[1]), quadSwapY(given[2]), quadSwapY(given[3]));
  return Pair(chosen(got, first, odd), chosen(second, got, odd));
}

// From eight columns a lane to four rows a lane: a 4 × 4 transposition within the quad, once for either half.
fn rows_by_lane(b: Block, lane: u32) -> Block {
  let odd = (lane & 1u) != 0u;
  let lower = (lane & 2u) != 0u;
  let a0 = trade_x(b.b0, b.b2, odd);
  let a1 = trade_x(b.b4, b.b6, odd);
  let a2 = trade_y(a0.first, a1.first, lower);
  let a3 = trade_y(a0.second, a1.second, lower);
  let c0 = trade_x(b.b1, b.b3, odd);
  let c1 = trade_x(b.b5, b.b7, odd);
  let c2 = trade_y(c0.first, c1.first, lower);
  let c3 = trade_y(c0.second, c1.second, lower);
  return Block(a2.first, c2.first, a3.first, c3.first, a2.second, c2.second, a3.second, c3.second);
}

// Σ over the block's 32 columns of weight · vector, for the four rows of the lane.
fn weighted_sum(b: Block, v: Columns) -> mat4x4f {
  var sum = mat4x4f(quadBroadcast(v.v0, 0u), quadBroadcast(v.v1, 0u), quadBroadcast(v.v2, 0u), quadBroadcast(v.v3, 0u)) * b.b0;
  sum += mat4x4f(quadBroadcast(v.v4, 0u), quadBroadcast(v.v5, 0u), quadBroadcast(v.v6, 0u), quadBroadcast(v.v7, 0u)) * b.b1;
  sum += mat4x4f(quadBroadcast(v.v0, 1u), quadBroadcast(v.v1, 1u), quadBroadcast(v.v2, 1u), quadBroadcast(v.v3, 1u)) * b.b2;
  sum += mat4x4f(quadBroadcast(v.v4, 1u), quadBroadcast(v.v5, 1u), quadBroadcast(v.v6, 1u), quadBroadcast(v.v7, 1u)) * b.b3;
  sum += mat4x4f(quadBroadcast(v.v0, 2u), quadBroadcast(v.v1, 2u), quadBroadcast(v.v2, 2u), quadBroadcast(v.v3, 2u)) * b.b4;
  sum += mat4x4f(quadBroadcast(v.v4, 2u), quadBroadcast(v.v5, 2u), quadBroadcast(v.v6, 2u), quadBroadcast(v.v7, 2u)) * b.b5;
  sum += mat4x4f(quadBroadcast(v.v0, 3u), quadBroadcast(v.v1, 3u), quadBroadcast(v.v2, 3u), quadBroadcast(v.v3, 3u)) * b.b6;
  sum += mat4x4f(quadBroadcast(v.v4, 3u), quadBroadcast(v.v5, 3u), quadBroadcast(v.v6, 3u), quadBroadcast(v.v7, 3u)) * b.b7;
  return sum;
}
