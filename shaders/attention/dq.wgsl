// dq of causal attention in workgroup tiles, on the blocks of tiles.wgsl: dq = Σ ds · k with
// ds = scale · p (dp − delta), through the cap where there is one, p = exp(s − lse), dp = dy · v (FlashAttention-2,
// algorithm 2). Training only, so every sequence starts at position 0 and S = T.
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
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane % 8u;
  let own = lane / 8u;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let tile = (params.first_tile + group.x) * SIDE;
  let last_row = params.length - 1u;
  let origin = group.z * params.length;
  let row_stride = params.heads * HEAD_VECS;
  let queries = Rows((origin * params.heads + head) * HEAD_VECS, row_stride, tile, last_row);
  let key_origin = (origin * params.kv_heads + kv_head) * HEAD_VECS;

  var first: array<u32, 4>;
  var last: array<u32, 4>;
  var row_stats: array<vec2f, 4>;
  for (var i = 0u; i < 4u; i++) {
    let row = min(tile + own + 8u * i, last_row);
    first[i] = first_key(origin + row, row);
    last[i] = row;
    row_stats[i] = stats[(origin + row) * params.heads + head];
  }
  let begin = first_key(origin + tile, tile);
  let end = min(tile + SIDE, params.length);

  var sums: array<Part, SPANS>;
  for (var base = begin; base < end; base += SIDE) {
    let keys = Rows(key_origin, params.kv_heads * HEAD_VECS, base, last_row);
    var s = Part();
    var dp = Part();
    for (var span = 0u; span < SPANS; span++) {
      workgroupBarrier();
      for (var i = lane; i < VECTORS; i += THREADS) {
        row_tile[in_order(i)] = q[source(queries, span, i)];
        column_tile[by_thread(i)] = k[source(keys, span, i)];
      }
      workgroupBarrier();
      s = add_products(s, x, own, min(SPAN, params.head_vecs - span * SPAN));
      workgroupBarrier();
      for (var i = lane; i < VECTORS; i += THREADS) {
        row_tile[in_order(i)] = dy[source(queries, span, i)];
        column_tile[by_thread(i)] = v[source(keys, span, i)];
      }
      workgroupBarrier();
      dp = add_products(dp, x, own, min(SPAN, params.head_vecs - span * SPAN));
    }

    let columns = vec4u(0u, 1u, 2u, 3u) + base + 4u * x;
    for (var i = 0u; i < 4u; i++) {
      let score = s[i] * params.scale;
      let p = exp(capped(score) - row_stats[i].x);
      let seen = (columns >= vec4u(first[i])) & (columns <= vec4u(last[i]));
      let ds = cap_gradient(p * (dp[i] - row_stats[i].y), score) * params.scale;
      s[i] = select(vec4f(), ds, seen);
    }
    store_weights(s, x, own);

    for (var span = 0u; span < SPANS; span++) {
      workgroupBarrier();
      for (var i = lane; i < VECTORS; i += THREADS) {
        column_tile[in_order(i)] = k[source(keys, span, i)];
      }
      workgroupBarrier();
      sums[span] = add_weighted(sums[span], x, own, min(SIDE, end - base));
    }
  }

  for (var i = 0u; i < 4u; i++) {
    let row = tile + own + 8u * i;
    for (var span = 0u; span < SPANS; span++) {
      let d = span * SPAN + x;
      if (row <= last_row && d < HEAD_VECS) {
        dq[queries.origin + row * row_stride + d] = sums[span][i];
      }
    }
  }
}
