// dk and dv of causal attention, a thread a key row: over the query heads of its group and the queries that see it,
// dv = Σ p · dy, dk = scale · Σ p (dp − delta) q (FlashAttention-2, algorithm 2). Queries are staged in tiles.
struct Params {
  length: u32,
  heads: u32,
  kv_heads: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> dy: array<vec4f>;
@group(0) @binding(5) var<storage, read> stats: array<vec2f>; // (lse, delta)
@group(0) @binding(6) var<storage, read_write> dk: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> dv: array<vec4f>;

const KEYS: u32 = 64u;

var<workgroup> q_tile: array<vec4f, TILE_KEYS * HEAD_VECS>;
var<workgroup> dy_tile: array<vec4f, TILE_KEYS * HEAD_VECS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let sequence = group.z;
  let kv_head = group.y;
  let group_size = params.heads / params.kv_heads;
  let key = group.x * KEYS + lane;
  let in_range = key < params.length;
  let row = sequence * params.length + min(key, params.length - 1u);
  let kv_base = (row * params.kv_heads + kv_head) * HEAD_VECS;

  var key_row: array<vec4f, HEAD_VECS>;
  var value_row: array<vec4f, HEAD_VECS>;
  var dk_sum: array<vec4f, HEAD_VECS>;
  var dv_sum: array<vec4f, HEAD_VECS>;
  for (var d = 0u; d < HEAD_VECS; d++) {
    key_row[d] = k[kv_base + d];
    value_row[d] = v[kv_base + d];
  }

  for (var h = 0u; h < group_size; h++) {
    let head = kv_head * group_size + h;
    for (var base = group.x * KEYS; base < params.length; base += TILE_KEYS) {
      let end = min(base + TILE_KEYS, params.length);
      for (var i = lane; i < TILE_KEYS * HEAD_VECS; i += KEYS) {
        let t = base + i / HEAD_VECS;
        if (t < end) {
          let index = ((sequence * params.length + t) * params.heads + head) * HEAD_VECS + i % HEAD_VECS;
          q_tile[i] = q[index];
          dy_tile[i] = dy[index];
        }
      }
      workgroupBarrier();
      if (in_range) {
        for (var t = max(base, key); t < end && first_row(sequence * params.length + t) <= key; t++) {
          let tile_base = (t - base) * HEAD_VECS;
          let head_row = (sequence * params.length + t) * params.heads + head;
          var score = 0.0;
          var dp = 0.0;
          for (var d = 0u; d < HEAD_VECS; d++) {
            score += dot(q_tile[tile_base + d], key_row[d]);
            dp += dot(dy_tile[tile_base + d], value_row[d]);
          }
          let p = exp(score * params.scale - stats[head_row].x);
          let ds = p * (dp - stats[head_row].y) * params.scale;
          for (var d = 0u; d < HEAD_VECS; d++) {
            dk_sum[d] += ds * q_tile[tile_base + d];
            dv_sum[d] += p * dy_tile[tile_base + d];
          }
        }
      }
      workgroupBarrier();
    }
  }

  if (in_range) {
    for (var d = 0u; d < HEAD_VECS; d++) {
      dk[kv_base + d] = dk_sum[d];
      dv[kv_base + d] = dv_sum[d];
    }
  }
}
