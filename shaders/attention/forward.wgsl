// Causal attention with grouped heads and an online softmax in workgroup tiles (Dao et al. 2022, FlashAttention), on the
// blocks of tiles.wgsl. q[B·T, H·D]; k, v[B, S, G·D]; row t of sequence b sees keys up to start[b] + t, from the
// first of its document and window on. Saves the log-sum-exp of each row for the backward pass.
struct Params {
  length: u32,
  keys: u32,
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
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // [B·T, H]

const LOWEST: f32 = -3.4e38;

// A number of each of a thread's rows, for the eight threads that share them.
var<workgroup> shares: array<vec4f, THREADS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane % 8u;
  let own = lane / 8u;
  let sequence = group.z;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let tile = (params.first_tile + group.x) * SIDE;
  let last_row = params.length - 1u;
  let origin = sequence * params.length;
  let position = start[sequence];
  let row_stride = params.heads * HEAD_VECS;
  let key_stride = params.kv_heads * HEAD_VECS;
  let queries = Rows((origin * params.heads + head) * HEAD_VECS, row_stride, tile, last_row);
  let key_origin = (sequence * params.keys * params.kv_heads + kv_head) * HEAD_VECS;

  var first: array<u32, 4>;
  var last: array<u32, 4>;
  for (var i = 0u; i < 4u; i++) {
    let row = min(tile + own + 8u * i, last_row);
    last[i] = position + row;
    first[i] = first_key(origin + row, last[i]);
  }
  let begin = first_key(origin + tile, position + tile);
  let end = min(position + min(tile + SIDE, params.length), params.keys);

  var sums: array<Part, SPANS>;
  var largest = vec4f(LOWEST);
  var total = vec4f(); // of the thread's own columns
  for (var base = begin; base < end; base += SIDE) {
    let keys = Rows(key_origin, key_stride, base, params.keys - 1u);
    var s = Part();
    for (var span = 0u; span < SPANS; span++) {
      workgroupBarrier();
      for (var i = lane; i < VECTORS; i += THREADS) {
        row_tile[in_order(i)] = q[source(queries, span, i)];
        column_tile[by_thread(i)] = k[source(keys, span, i)];
      }
      workgroupBarrier();
      s = add_products(s, x, own, min(SPAN, params.head_vecs - span * SPAN));
    }

    let columns = vec4u(0u, 1u, 2u, 3u) + base + 4u * x;
    var next = largest;
    for (var i = 0u; i < 4u; i++) {
      let seen = (columns >= vec4u(first[i])) & (columns <= vec4u(last[i]));
      s[i] = select(vec4f(LOWEST), capped(s[i] * params.scale), seen);
      next[i] = max(next[i], max(max(s[i].x, s[i].y), max(s[i].z, s[i].w)));
    }
    shares[lane] = next;
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
      next = max(next, shares[own * 8u + i]);
    }
    let correction = exp(largest - next);
    largest = next;
    for (var i = 0u; i < 4u; i++) {
      s[i] = exp(s[i] - next[i]);
      total[i] = total[i] * correction[i] + dot(s[i], vec4f(1.0));
    }
    store_weights(s, x, own);

    for (var span = 0u; span < SPANS; span++) {
      workgroupBarrier();
      for (var i = lane; i < VECTORS; i += THREADS) {
        column_tile[in_order(i)] = v[source(keys, span, i)];
      }
      workgroupBarrier();
      for (var i = 0u; i < 4u; i++) {
        sums[span][i] *= correction[i];
      }
      sums[span] = add_weighted(sums[span], x, own, min(SIDE, end - base));
    }
  }

  workgroupBarrier();
  shares[lane] = total;
  workgroupBarrier();
  total = vec4f();
  for (var i = 0u; i < 8u; i++) {
    total += shares[own * 8u + i];
  }
  for (var i = 0u; i < 4u; i++) {
    let row = tile + own + 8u * i;
    if (row <= last_row) {
      for (var span = 0u; span < SPANS; span++) {
        let d = span * SPAN + x;
        if (d < HEAD_VECS) {
          y[queries.origin + row * row_stride + d] = sums[span][i] / total[i];
        }
      }
      if (x == 0u) {
        lse[(origin + row) * params.heads + head] = largest[i] + log(total[i]);
      }
    }
  }
}
