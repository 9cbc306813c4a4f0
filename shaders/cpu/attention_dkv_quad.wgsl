// dk and dv of causal attention for CPU adapters with subgroups, in the blocks of quad_blocks.wgsl, whose rows are keys
// here and whose columns queries: dv = Σ p · dy, dk = Σ ds · q with ds = scale · p (dp − delta), through the cap where
// there is one, over the query heads of a key's group and the queries that see it (FlashAttention-2, algorithm 2). A quad
// computes 16 keys of one head; the sums stand in dk and dv.
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
@group(0) @binding(6) var<storage, read_write> dk: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> dv: array<vec4f>;

fn score_operand(i: u32) -> vec4f {
  return q[i];
}

fn value_operand(i: u32) -> vec4f {
  return dy[i];
}

// Four queries: the keys that they see, none for those past the end; log-sum-exp and delta.
struct Queries {
  first: vec4u,
  last: vec4u,
  lse: vec4f,
  delta: vec4f,
}

fn load_stats(origin: u32, head: u32, query: u32) -> Queries {
  let queries = vec4u(query, query + 1u, query + 2u, query + 3u);
  let positions = min(queries, vec4u(params.length - 1u));
  let rows = origin + positions;
  let s0 = stats[rows.x * params.heads + head];
  let s1 = stats[rows.y * params.heads + head];
  let s2 = stats[rows.z * params.heads + head];
  let s3 = stats[rows.w * params.heads + head];
  let first = vec4u(
    first_key(rows.x, positions.x),
    first_key(rows.y, positions.y),
    first_key(rows.z, positions.z),
    first_key(rows.w, positions.w),
  );
  let none = vec4u(params.length);
  return Queries(
    select(none, first, queries < none),
    queries,
    vec4f(s0.x, s1.x, s2.x, s3.x),
    vec4f(s0.y, s1.y, s2.y, s3.y),
  );
}

// Of four keys, from `key` on, and four queries.
fn weights(s: mat4x4f, key: u32, queries: Queries) -> mat4x4f {
  return mat4x4f(
    key_weights(s[0], key, queries),
    key_weights(s[1], key + 1u, queries),
    key_weights(s[2], key + 2u, queries),
    key_weights(s[3], key + 3u, queries),
  );
}

fn key_weights(s: vec4f, key: u32, queries: Queries) -> vec4f {
  let seen = (queries.first <= vec4u(key)) & (vec4u(key) <= queries.last);
  return select(vec4f(), exp(capped(s * params.scale) - queries.lse), seen);
}

fn score_gradient(s: mat4x4f, p: mat4x4f, dp: mat4x4f, queries: Queries) -> mat4x4f {
  return mat4x4f(
    key_gradient(s[0], p[0], dp[0], queries),
    key_gradient(s[1], p[1], dp[1], queries),
    key_gradient(s[2], p[2], dp[2], queries),
    key_gradient(s[3], p[3], dp[3], queries),
  );
}

fn key_gradient(s: vec4f, p: vec4f, dp: vec4f, queries: Queries) -> vec4f {
  return cap_gradient(p * (dp - queries.delta), s * params.scale) * params.scale;
}

// A workgroup's quads share `quad_heads` key-value heads and go through the same blocks of queries, whatever of them sees
// their keys.
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let lane = index % 4u;
  let quad = index / 4u;
  let kv_head = group.y * params.quad_heads + quad % params.quad_heads;
  let group_size = params.heads / params.kv_heads;
  let last_row = params.length - 1u;
  let tiles = 4u / params.quad_heads;
  let group_first = (params.first_tile + group.x) * tiles * BLOCK_ROWS;
  let group_last = group_first + tiles * BLOCK_ROWS - 1u;
  let tile = group_first + quad / params.quad_heads * BLOCK_ROWS;

  // The lane loads one key in four of the tile, and sums up four in a row.
  let origin = group.z * params.length;
  let key_stride = params.kv_heads * params.head_vecs;
  let key_origin = (origin * params.kv_heads + kv_head) * params.head_vecs;
  let k0 = key_origin + min(tile + lane, last_row) * key_stride;
  let k1 = key_origin + min(tile + 4u + lane, last_row) * key_stride;
  let k2 = key_origin + min(tile + 8u + lane, last_row) * key_stride;
  let k3 = key_origin + min(tile + 12u + lane, last_row) * key_stride;
  let own = vec4u(0u, 1u, 2u, 3u) + tile + 4u * lane;
  let writes = own <= vec4u(last_row);
  let out_at = key_origin + min(own, vec4u(last_row)) * key_stride;
  let row_stride = params.heads * params.head_vecs;

  for (var h = 0u; h < group_size; h++) {
    let head = kv_head * group_size + h;
    let row_origin = (origin * params.heads + head) * params.head_vecs;
    // Documents follow each other, and windows move along: once a block's begin after the keys, nothing sees them any more.
    for (var base = group_first; base <= last_row && first_key(origin + base, base) <= group_last; base += BLOCK_COLUMNS) {
      let at = row_offsets(row_origin, row_stride, base + 8u * lane, last_row);
      var s = Block();
      for (var d = 0u; d < params.head_vecs; d++) {
        s = add_products(s, k[k0 + d], k[k1 + d], k[k2 + d], k[k3 + d], score_columns(at, d));
      }
      var dp = Block();
      for (var d = 0u; d < params.head_vecs; d++) {
        dp = add_products(dp, v[k0 + d], v[k1 + d], v[k2 + d], v[k3 + d], value_columns(at, d));
      }
      let low = load_stats(origin, head, base + 8u * lane);
      let high = load_stats(origin, head, base + 8u * lane + 4u);
      let p = Block(
        weights(s.b0, tile, low),
        weights(s.b1, tile, high),
        weights(s.b2, tile + 4u, low),
        weights(s.b3, tile + 4u, high),
        weights(s.b4, tile + 8u, low),
        weights(s.b5, tile + 8u, high),
        weights(s.b6, tile + 12u, low),
        weights(s.b7, tile + 12u, high),
      );
      let ds = Block(
        score_gradient(s.b0, p.b0, dp.b0, low),
        score_gradient(s.b1, p.b1, dp.b1, high),
        score_gradient(s.b2, p.b2, dp.b2, low),
        score_gradient(s.b3, p.b3, dp.b3, high),
        score_gradient(s.b4, p.b4, dp.b4, low),
        score_gradient(s.b5, p.b5, dp.b5, high),
        score_gradient(s.b6, p.b6, dp.b6, low),
        score_gradient(s.b7, p.b7, dp.b7, high),
      );
      let by_query = rows_by_lane(p, lane);
      let by_score = rows_by_lane(ds, lane);
      for (var d = 0u; d < params.head_vecs; d++) {
        var key_sum = weighted_sum(by_score, score_columns(at, d));
        var value_sum = weighted_sum(by_query, value_columns(at, d));
        if (h > 0u || base > group_first) {
          key_sum += mat4x4f(dk[out_at.x + d], dk[out_at.y + d], dk[out_at.z + d], dk[out_at.w + d]);
          value_sum += mat4x4f(dv[out_at.x + d], dv[out_at.y + d], dv[out_at.z + d], dv[out_at.w + d]);
        }
        for (var i = 0u; i < 4u; i++) {
          if (writes[i]) {
            dk[out_at[i] + d] = key_sum[i];
            dv[out_at[i] + d] = value_sum[i];
          }
        }
      }
    }
  }
}
