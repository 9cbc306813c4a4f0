// dk and dv of causal attention in workgroup tiles, on the blocks of tiles.wgsl, whose rows are keys here and
// whose columns queries: dv = Σ p · dy, dk = Σ ds · q with ds = scale · p (dp − delta), through the cap where there is one,
// over the query heads of a key's group and the queries that see it (FlashAttention-2, algorithm 2).
struct Params {
  length: u32,
  heads: u32,
  kv_heads: u32,
  first_tile: u32, // of those that this dispatch computes
  head_vecs: u32, // HEAD_VECS, for loops that compilers shall not unroll
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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane % 8u;
  let own = lane / 8u;
  let kv_head = group.y;
  let group_size = params.heads / params.kv_heads;
  let tile = (params.first_tile + group.x) * SIDE;
  let last_row = params.length - 1u;
  let last_key = min(tile + SIDE - 1u, last_row);
  let origin = group.z * params.length;
  let key_stride = params.kv_heads * HEAD_VECS;
  let keys = Rows((origin * params.kv_heads + kv_head) * HEAD_VECS, key_stride, tile, last_row);

  var dk_sums: array<Part, SPANS>;
  var dv_sums: array<Part, SPANS>;
  for (var h = 0u; h < group_size; h++) {
    let head = kv_head * group_size + h;
    let row_origin = (origin * params.heads + head) * HEAD_VECS;
    // Documents follow each other, and windows move along: once a block's begin after the keys, nothing sees them any more.
    for (var base = tile; base <= last_row && first_key(origin + base, base) <= last_key; base += SIDE) {
      let queries = Rows(row_origin, params.heads * HEAD_VECS, base, last_row);
      var s = Part();
      var dp = Part();
      for (var span = 0u; span < SPANS; span++) {
        workgroupBarrier();
        for (var i = lane; i < VECTORS; i += THREADS) {
          row_tile[in_order(i)] = k[source(keys, span, i)];
          column_tile[by_thread(i)] = q[source(queries, span, i)];
        }
        workgroupBarrier();
        s = add_products(s, x, own, min(SPAN, params.head_vecs - span * SPAN));
        workgroupBarrier();
        for (var i = lane; i < VECTORS; i += THREADS) {
          row_tile[in_order(i)] = v[source(keys, span, i)];
          column_tile[by_thread(i)] = dy[source(queries, span, i)];
        }
        workgroupBarrier();
        dp = add_products(dp, x, own, min(SPAN, params.head_vecs - span * SPAN));
      }

      // The thread's queries: the keys that they see, none for those past the end; log-sum-exp and delta.
      let columns = vec4u(0u, 1u, 2u, 3u) + base + 4u * x;
      var first: vec4u;
      var row_lse: vec4f;
      var delta: vec4f;
      for (var j = 0u; j < 4u; j++) {
        let position = min(columns[j], last_row);
        let row = origin + position;
        let row_stats = stats[row * params.heads + head];
        first[j] = select(params.length, first_key(row, position), columns[j] <= last_row);
        row_lse[j] = row_stats.x;
        delta[j] = row_stats.y;
      }
      for (var i = 0u; i < 4u; i++) {
        let key = tile + own + 8u * i;
        let seen = (first <= vec4u(key)) & (vec4u(key) <= columns);
        let score = s[i] * params.scale;
        s[i] = select(vec4f(), exp(capped(score) - row_lse), seen);
        dp[i] = cap_gradient(s[i] * (dp[i] - delta), score) * params.scale;
      }

      store_weights(s, x, own);
      for (var span = 0u; span < SPANS; span++) {
        workgroupBarrier();
        for (var i = lane; i < VECTORS; i += THREADS) {
          column_tile[in_order(i)] = dy[source(queries, span, i)];
        }
        workgroupBarrier();
        dv_sums[span] = add_weighted(dv_sums[span], x, own, min(SIDE, last_row + 1u - base));
      }
      workgroupBarrier();
      store_weights(dp, x, own);
      for (var span = 0u; span < SPANS; span++) {
        workgroupBarrier();
        for (var i = lane; i < VECTORS; i += THREADS) {
          column_tile[in_order(i)] = q[source(queries, span, i)];
        }
        workgroupBarrier();
        dk_sums[span] = add_weighted(dk_sums[span], x, own, min(SIDE, last_row + 1u - base));
      }
    }
  }

  for (var i = 0u; i < 4u; i++) {
    let row = tile + own + 8u * i;
    for (var span = 0u; span < SPANS; span++) {
      let d = span * SPAN + x;
      if (row <= last_row && d < HEAD_VECS) {
        dk[keys.origin + row * key_stride + d] = dk_sums[span][i];
        dv[keys.origin + row * key_stride + d] = dv_sums[span][i];
      }
    }
  }
}
