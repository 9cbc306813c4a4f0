// dq of causal attention for CPU adapters with subgroups, in the blocks of quad_blocks.wgsl: dq = Σ ds · k with
// ds = scale · p (dp − delta), through the cap where there is one, p = exp(s − lse), dp = dy · v (FlashAttention-2,
// algorithm 2). A quad computes 16 rows of one head; the sums stand in dq. Training only, so every sequence starts at
// position 0 and S = T.
struct Params {
  length: u32,
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
@group(0) @binding(4) var<storage, read> dy: array<vec4f>;
@group(0) @binding(5) var<storage, read> stats: array<vec2f>; // (lse, delta)
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;

fn score_operand(i: u32) -> vec4f {
  return k[i];
}

fn value_operand(i: u32) -> vec4f {
  return v[i];
}

// What four rows of a lane need: the keys that they see, log-sum-exp and delta.
struct Rows {
  first: vec4u,
  last: vec4u,
  lse: vec4f,
  delta: vec4f,
}

fn score_gradient(s: mat4x4f, dp: mat4x4f, key: u32, rows: Rows) -> mat4x4f {
  return mat4x4f(
    row_gradient(s[0], dp[0], key, rows.first.x, rows.last.x, rows.lse.x, rows.delta.x),
    row_gradient(s[1], dp[1], key, rows.first.y, rows.last.y, rows.lse.y, rows.delta.y),
    row_gradient(s[2], dp[2], key, rows.first.z, rows.last.z, rows.lse.z, rows.delta.z),
    row_gradient(s[3], dp[3], key, rows.first.w, rows.last.w, rows.lse.w, rows.delta.w),
  );
}

fn row_gradient(s: vec4f, dp: vec4f, key: u32, first: u32, last: u32, lse: f32, delta: f32) -> vec4f {
  let keys = vec4u(key, key + 1u, key + 2u, key + 3u);
  let score = s * params.scale;
  let p = exp(capped(score) - lse);
  let ds = cap_gradient(p * (dp - delta), score) * params.scale;
  return select(vec4f(), ds, (keys >= vec4u(first)) & (keys <= vec4u(last)));
}

// A workgroup's quads share `quad_heads` heads and go through the same blocks of keys, whatever each of them sees.
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let lane = index % 4u;
  let quad = index / 4u;
  let head = group.y * params.quad_heads + quad % params.quad_heads;
  let kv_head = head / (params.heads / params.kv_heads);
  let last_row = params.length - 1u;
  let tiles = 4u / params.quad_heads;
  let group_first = (params.first_tile + group.x) * tiles * BLOCK_ROWS;
  let group_last = min(group_first + tiles * BLOCK_ROWS - 1u, last_row);
  let tile = group_first + quad / params.quad_heads * BLOCK_ROWS;

  // The lane loads one row in four of the tile, and sums up four in a row.
  let origin = group.z * params.length;
  let row_stride = params.heads * params.head_vecs;
  let row_origin = (origin * params.heads + head) * params.head_vecs;
  let r0 = row_origin + min(tile + lane, last_row) * row_stride;
  let r1 = row_origin + min(tile + 4u + lane, last_row) * row_stride;
  let r2 = row_origin + min(tile + 8u + lane, last_row) * row_stride;
  let r3 = row_origin + min(tile + 12u + lane, last_row) * row_stride;
  let own = vec4u(0u, 1u, 2u, 3u) + tile + 4u * lane;
  let inside = min(own, vec4u(last_row));
  let writes = own <= vec4u(last_row);
  let dq_at = row_origin + inside * row_stride;
  let stats_at = (origin + inside) * params.heads + head;
  let s0 = stats[stats_at.x];
  let s1 = stats[stats_at.y];
  let s2 = stats[stats_at.z];
  let s3 = stats[stats_at.w];
  let first = vec4u(
    first_key(origin + inside.x, inside.x),
    first_key(origin + inside.y, inside.y),
    first_key(origin + inside.z, inside.z),
    first_key(origin + inside.w, inside.w),
  );
  let rows = Rows(first, inside, vec4f(s0.x, s1.x, s2.x, s3.x), vec4f(s0.y, s1.y, s2.y, s3.y));

  let key_stride = params.kv_heads * params.head_vecs;
  let key_origin = (origin * params.kv_heads + kv_head) * params.head_vecs;
  let begin = first_key(origin + group_first, group_first);
  for (var base = begin; base <= group_last; base += BLOCK_COLUMNS) {
    let at = row_offsets(key_origin, key_stride, base + 8u * lane, last_row);
    var scores = Block();
    for (var d = 0u; d < params.head_vecs; d++) {
      scores = add_products(scores, q[r0 + d], q[r1 + d], q[r2 + d], q[r3 + d], score_columns(at, d));
    }
    var dp = Block();
    for (var d = 0u; d < params.head_vecs; d++) {
      dp = add_products(dp, dy[r0 + d], dy[r1 + d], dy[r2 + d], dy[r3 + d], value_columns(at, d));
    }
    let s = rows_by_lane(scores, lane);
    let g = rows_by_lane(dp, lane);
    let ds = Block(
      score_gradient(s.b0, g.b0, base, rows),
      score_gradient(s.b1, g.b1, base + 4u, rows),
      score_gradient(s.b2, g.b2, base + 8u, rows),
      score_gradient(s.b3, g.b3, base + 12u, rows),
      score_gradient(s.b4, g.b4, base + 16u, rows),
      score_gradient(s.b5, g.b5, base + 20u, rows),
      score_gradient(s.b6, g.b6, base + 24u, rows),
      score_gradient(s.b7, g.b7, base + 28u, rows),
    );
    for (var d = 0u; d < params.head_vecs; d++) {
      var sum = weighted_sum(ds, score_columns(at, d));
      if (base > begin) {
        sum[0] += dq[dq_at.x + d];
        sum[1] += dq[dq_at.y + d];
        sum[2] += dq[dq_at.z + d];
        sum[3] += dq[dq_at.w + d];
      }
      if (writes.x) {
        dq[dq_at.x + d] = sum[0];
      }
      if (writes.y) {
        dq[dq_at.y + d] = sum[1];
      }
      if (writes.z) {
        dq[dq_at.z + d] = sum[2];
      }
      if (writes.w) {
        dq[dq_at.w + d] = sum[3];
      }
    }
  }
}
