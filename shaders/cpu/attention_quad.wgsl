// Causal attention with grouped heads for CPU adapters with subgroups, in the blocks of quad_blocks.wgsl (FlashAttention:
// Dao et al. 2022). q[B·T, H·D]; k, v[B, S, G·D]; row t of sequence b sees keys up to start[b] + t, from the first of its
// document and window on. A quad computes 16 rows of one head; the sums of its output stand in y until the last block of
// keys. Saves the log-sum-exp of each row for the backward pass.
struct Params {
  length: u32,
  keys: u32,
  heads: u32,
  kv_heads: u32,
  first_tile: u32, // of those that this dispatch computes; a workgroup's quads share one
  head_vecs: u32, // vectors of four in a head; no constant, or compilers unroll its loops and take a minute
  quad_heads: u32, // heads that a workgroup's four quads share: 4, 2 or 1
  scale: f32,
  window: u32,
  softcap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // [B·T, H]

const LOWEST: f32 = -3.4e38;

fn score_operand(i: u32) -> vec4f {
  return k[i];
}

fn value_operand(i: u32) -> vec4f {
  return v[i];
}

fn scores(products: mat4x4f) -> mat4x4f {
  return mat4x4f(
    capped(products[0] * params.scale),
    capped(products[1] * params.scale),
    capped(products[2] * params.scale),
    capped(products[3] * params.scale),
  );
}

// Scores of four rows and four keys; what a row doesn't see is LOWEST.
fn masked(scores: mat4x4f, key: u32, first: vec4u, last: vec4u) -> mat4x4f {
  let keys = vec4u(key, key + 1u, key + 2u, key + 3u);
  let none = vec4f(LOWEST);
  return mat4x4f(
    select(none, scores[0], (keys >= vec4u(first.x)) & (keys <= vec4u(last.x))),
    select(none, scores[1], (keys >= vec4u(first.y)) & (keys <= vec4u(last.y))),
    select(none, scores[2], (keys >= vec4u(first.z)) & (keys <= vec4u(last.z))),
    select(none, scores[3], (keys >= vec4u(first.w)) & (keys <= vec4u(last.w))),
  );
}

// The greatest of `least` and a row's four scores, for four rows.
fn row_max(least: vec4f, scores: mat4x4f) -> vec4f {
  let columns = transpose(scores);
  return max(least, max(max(columns[0], columns[1]), max(columns[2], columns[3])));
}

fn row_sum(weights: mat4x4f) -> vec4f {
  let columns = transpose(weights);
  return (columns[0] + columns[1]) + (columns[2] + columns[3]);
}

fn exponentials(scores: mat4x4f, shift: vec4f) -> mat4x4f {
  return mat4x4f(
    exp(scores[0] - shift.x),
    exp(scores[1] - shift.y),
    exp(scores[2] - shift.z),
    exp(scores[3] - shift.w),
  );
}

// A workgroup's quads share `quad_heads` heads and go through the same blocks of keys, whatever each of them sees.
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let lane = index % 4u;
  let quad = index / 4u;
  let head = group.y * params.quad_heads + quad % params.quad_heads;
  let kv_head = head / (params.heads / params.kv_heads);
  let sequence = group.z;
  let last_row = params.length - 1u;
  let tiles = 4u / params.quad_heads;
  let group_first = (params.first_tile + group.x) * tiles * BLOCK_ROWS;
  let group_last = min(group_first + tiles * BLOCK_ROWS - 1u, last_row);
  let tile = group_first + quad / params.quad_heads * BLOCK_ROWS;

  // The lane loads one row in four of the tile, and sums up four in a row.
  let row_stride = params.heads * params.head_vecs;
  let row_origin = (sequence * params.length * params.heads + head) * params.head_vecs;
  let q0 = row_origin + min(tile + lane, last_row) * row_stride;
  let q1 = row_origin + min(tile + 4u + lane, last_row) * row_stride;
  let q2 = row_origin + min(tile + 8u + lane, last_row) * row_stride;
  let q3 = row_origin + min(tile + 12u + lane, last_row) * row_stride;
  let rows = vec4u(0u, 1u, 2u, 3u) + tile + 4u * lane;
  let inside = min(rows, vec4u(last_row));
  let writes = rows <= vec4u(last_row);
  let y_at = row_origin + inside * row_stride;

  let key_stride = params.kv_heads * params.head_vecs;
  let key_origin = (sequence * params.keys * params.kv_heads + kv_head) * params.head_vecs;
  let origin = sequence * params.length;
  let position = start[sequence];
  let last = position + inside;
  let first = vec4u(
    first_key(origin + inside.x, last.x),
    first_key(origin + inside.y, last.y),
    first_key(origin + inside.z, last.z),
    first_key(origin + inside.w, last.w),
  );
  let begin = first_key(origin + group_first, position + group_first);
  let end = min(position + group_last + 1u, params.keys);

  var largest = vec4f(LOWEST);
  var total = vec4f();
  for (var base = begin; base < end; base += BLOCK_COLUMNS) {
    let at = row_offsets(key_origin, key_stride, base + 8u * lane, params.keys - 1u);
    var products = Block();
    for (var d = 0u; d < params.head_vecs; d++) {
      products = add_products(products, q[q0 + d], q[q1 + d], q[q2 + d], q[q3 + d], score_columns(at, d));
    }

    var p = rows_by_lane(products, lane);
    p.b0 = scores(p.b0);
    p.b1 = scores(p.b1);
    p.b2 = scores(p.b2);
    p.b3 = scores(p.b3);
    p.b4 = scores(p.b4);
    p.b5 = scores(p.b5);
    p.b6 = scores(p.b6);
    p.b7 = scores(p.b7);
    if (base < first.w || base + BLOCK_COLUMNS > last.x + 1u) {
      p.b0 = masked(p.b0, base, first, last);
      p.b1 = masked(p.b1, base + 4u, first, last);
      p.b2 = masked(p.b2, base + 8u, first, last);
      p.b3 = masked(p.b3, base + 12u, first, last);
      p.b4 = masked(p.b4, base + 16u, first, last);
      p.b5 = masked(p.b5, base + 20u, first, last);
      p.b6 = masked(p.b6, base + 24u, first, last);
      p.b7 = masked(p.b7, base + 28u, first, last);
    }
    var next = row_max(row_max(row_max(row_max(largest, p.b0), p.b1), p.b2), p.b3);
    next = row_max(row_max(row_max(row_max(next, p.b4), p.b5), p.b6), p.b7);
    p.b0 = exponentials(p.b0, next);
    p.b1 = exponentials(p.b1, next);
    p.b2 = exponentials(p.b2, next);
    p.b3 = exponentials(p.b3, next);
    p.b4 = exponentials(p.b4, next);
    p.b5 = exponentials(p.b5, next);
    p.b6 = exponentials(p.b6, next);
    p.b7 = exponentials(p.b7, next);
    let correction = exp(largest - next);
    largest = next;
    total = total * correction + row_sum((p.b0 + p.b1) + (p.b2 + p.b3) + (p.b4 + p.b5) + (p.b6 + p.b7));

    let divisor = select(vec4f(1.0), total, base + BLOCK_COLUMNS >= end);
    for (var d = 0u; d < params.head_vecs; d++) {
      var sum = weighted_sum(p, value_columns(at, d));
      if (base > begin) {
        sum[0] += y[y_at.x + d] * correction.x;
        sum[1] += y[y_at.y + d] * correction.y;
        sum[2] += y[y_at.z + d] * correction.z;
        sum[3] += y[y_at.w + d] * correction.w;
      }
      if (writes.x) {
        y[y_at.x + d] = sum[0] / divisor.x;
      }
      if (writes.y) {
        y[y_at.y + d] = sum[1] / divisor.y;
      }
      if (writes.z) {
        y[y_at.z + d] = sum[2] / divisor.z;
      }
      if (writes.w) {
        y[y_at.w + d] = sum[3] / divisor.w;
      }
    }
  }
  let row_lse = largest + log(total);
  for (var i = 0u; i < 4u; i++) {
    if (writes[i]) {
      lse[(origin + rows[i]) * params.heads + head] = row_lse[i];
    }
  }
}
