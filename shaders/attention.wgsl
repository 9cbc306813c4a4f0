// Causal attention with grouped heads and an online softmax, a thread a query row, keys and values staged in tiles
// (Dao et al. 2022, FlashAttention). q[B·T, H·D]; k, v[B, S, G·D]; row t of sequence b sees keys first … start[b] + t,
// from the first row of its document on.
// Saves the log-sum-exp of each row for the backward pass.
struct Params {
  length: u32,
  keys: u32,
  heads: u32,
  kv_heads: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // [B·T, H]

// Sizes from the prelude: HEAD_VECS vectors of four in a head, TILE_KEYS keys in a tile.
const QUERIES: u32 = 64u;

var<workgroup> k_tile: array<vec4f, TILE_KEYS * HEAD_VECS>;
var<workgroup> v_tile: array<vec4f, TILE_KEYS * HEAD_VECS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let sequence = group.z;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let t = group.x * QUERIES + lane;
  let in_range = t < params.length;
  let row = sequence * params.length + min(t, params.length - 1u);
  let position = start[sequence] + t;
  let first_key = first_row(row);
  let begin = first_row(sequence * params.length + min(group.x * QUERIES, params.length - 1u));
  let end = min(start[sequence] + min((group.x + 1u) * QUERIES, params.length), params.keys);

  var query: array<vec4f, HEAD_VECS>;
  var sum: array<vec4f, HEAD_VECS>;
  let q_base = (row * params.heads + head) * HEAD_VECS;
  for (var d = 0u; d < HEAD_VECS; d++) {
    query[d] = q[q_base + d] * params.scale;
  }
  var largest = -3.4e38;
  var total = 0.0;

  for (var base = begin; base < end; base += TILE_KEYS) {
    for (var i = lane; i < TILE_KEYS * HEAD_VECS; i += QUERIES) {
      let key = base + i / HEAD_VECS;
      if (key < end) {
        let index = ((sequence * params.keys + key) * params.kv_heads + kv_head) * HEAD_VECS + i % HEAD_VECS;
        k_tile[i] = k[index];
        v_tile[i] = v[index];
      }
    }
    workgroupBarrier();
    if (in_range) {
      let visible = min(min(base + TILE_KEYS, end), position + 1u);
      for (var key = max(base, first_key); key < visible; key++) {
        let tile_base = (key - base) * HEAD_VECS;
        var score = 0.0;
        for (var d = 0u; d < HEAD_VECS; d++) {
          score += dot(query[d], k_tile[tile_base + d]);
        }
        let next = max(largest, score);
        let correction = exp(largest - next);
        let weight = exp(score - next);
        total = total * correction + weight;
        for (var d = 0u; d < HEAD_VECS; d++) {
          sum[d] = sum[d] * correction + weight * v_tile[tile_base + d];
        }
        largest = next;
      }
    }
    workgroupBarrier();
  }

  if (in_range) {
    for (var d = 0u; d < HEAD_VECS; d++) {
      y[q_base + d] = sum[d] / total;
    }
    lse[row * params.heads + head] = largest + log(total);
  }
}
