// What the attention kernels in workgroup tiles share. 64 threads work on blocks of 32 rows by 32 columns (of scores, or
// of their gradient). The thread at (x, y) of 8 × 8 holds rows y, y + 8, y + 16, y + 24 and columns 4 x … 4 x + 3. Heads
// come through workgroup memory in spans of eight vectors.
const SIDE: u32 = 32u;
const SPAN: u32 = 8u;
const SPANS: u32 = (HEAD_VECS + SPAN - 1u) / SPAN;
const THREADS: u32 = 64u;

// Vectors of a tile, and from one of its rows to the next: an odd number, so that a column isn't all in one bank.
const VECTORS: u32 = SIDE * SPAN;
const STRIDE: u32 = SPAN + 1u;

var<workgroup> row_tile: array<vec4f, SIDE * STRIDE>;
var<workgroup> column_tile: array<vec4f, SIDE * STRIDE>;
var<workgroup> weight_tile: array<vec4f, SIDE * STRIDE>; // 32 weights a row

// Four rows of a block by its four columns, or by four numbers of a head.
alias Part = array<vec4f, 4>;

// 32 rows of a tensor, those past `last` read from it.
struct Rows {
  origin: u32,
  stride: u32,
  begin: u32,
  last: u32,
}

// Where the i-th vector of a tile stands in its tensor.
fn source(rows: Rows, span: u32, i: u32) -> u32 {
  // A head may end within a span; what is read from its end then isn't used.
  let d = min(span * SPAN + i % SPAN, HEAD_VECS - 1u);
  return rows.origin + min(rows.begin + i / SPAN, rows.last) * rows.stride + d;
}

// Where it goes, row by row.
fn in_order(i: u32) -> u32 {
  return i / SPAN * STRIDE + i % SPAN;
}

// Where it goes so that threads whose columns lie four apart read neighbouring rows.
fn by_thread(i: u32) -> u32 {
  let column = i / SPAN;
  return (column % 4u * 8u + column / 4u) * STRIDE + i % SPAN;
}

// Adds the products of row_tile with column_tile, which was filled by_thread, over `depth` vectors of the span.
fn add_products(sum: Part, x: u32, y: u32, depth: u32) -> Part {
  var s = sum;
  for (var d = 0u; d < depth; d++) {
    let c0 = column_tile[x * STRIDE + d];
    let c1 = column_tile[(x + 8u) * STRIDE + d];
    let c2 = column_tile[(x + 16u) * STRIDE + d];
    let c3 = column_tile[(x + 24u) * STRIDE + d];
    for (var i = 0u; i < 4u; i++) {
      let row = row_tile[(y + 8u * i) * STRIDE + d];
      s[i] += vec4f(dot(row, c0), dot(row, c1), dot(row, c2), dot(row, c3));
    }
  }
  return s;
}

fn store_weights(weights: Part, x: u32, y: u32) {
  for (var i = 0u; i < 4u; i++) {
    weight_tile[(y + 8u * i) * STRIDE + x] = weights[i];
  }
}

// Adds Σ over `columns` of weight_tile · column_tile, which was filled in_order: the x-th vector of the span.
fn add_weighted(sum: Part, x: u32, y: u32, columns: u32) -> Part {
  var s = sum;
  for (var c = 0u; 4u * c < columns; c++) {
    let v0 = column_tile[4u * c * STRIDE + x];
    let v1 = column_tile[(4u * c + 1u) * STRIDE + x];
    let v2 = column_tile[(4u * c + 2u) * STRIDE + x];
    let v3 = column_tile[(4u * c + 3u) * STRIDE + x];
    for (var i = 0u; i < 4u; i++) {
      let weight = weight_tile[(y + 8u * i) * STRIDE + c];
      s[i] += weight.x * v0 + weight.y * v1 + weight.z * v2 + weight.w * v3;
    }
  }
  return s;
}
