// Causal attention of few rows over a long cache: a workgroup a row and head. Keys are spread over its lanes for the
// scores, then the numbers of the head for the sums. q[B·T, H·D]; k, v[B, S, G·D]; row t of sequence b sees keys up to
// start[b] + t, from the first of its document and window on.
struct Params {
  length: u32,
  keys: u32,
  heads: u32,
  kv_heads: u32,
  head_vecs: u32,
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

const LANES: u32 = 64u;
const CHUNK: u32 = 4u * LANES;
const LOWEST: f32 = -3.4e38;

// HEAD_VECS lanes, at most all of them, hold the sum of a part of the keys.
const PARTS: u32 = LANES / HEAD_VECS;

var<workgroup> query: array<vec4f, HEAD_VECS>;
var<workgroup> weights: array<f32, CHUNK>;
var<workgroup> sums: array<vec4f, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let sequence = group.z;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let row = sequence * params.length + group.x;
  let position = start[sequence] + group.x;
  let begin = first_key(row, position);
  let end = min(position + 1u, params.keys);
  let q_at = (row * params.heads + head) * HEAD_VECS;
  let key_stride = params.kv_heads * HEAD_VECS;
  let key_origin = (sequence * params.keys * params.kv_heads + kv_head) * HEAD_VECS;
  let d = lane % HEAD_VECS;
  let part = lane / HEAD_VECS;

  if (lane < HEAD_VECS) {
    query[lane] = q[q_at + lane] * params.scale;
  }
  workgroupBarrier();

  var sum = vec4f();
  var largest = LOWEST;
  var total = 0.0; // of the lane's own keys
  for (var base = begin; base < end; base += CHUNK) {
    // The lane's keys; those past the end are read from the last one.
    let keys = vec4u(0u, LANES, 2u * LANES, 3u * LANES) + base + lane;
    let at = key_origin + min(keys, vec4u(end - 1u)) * key_stride;
    var scores = vec4f();
    for (var c = 0u; c < params.head_vecs; c++) {
      let part_of_q = query[c];
      scores += vec4f(
        dot(part_of_q, k[at.x + c]),
        dot(part_of_q, k[at.y + c]),
        dot(part_of_q, k[at.z + c]),
        dot(part_of_q, k[at.w + c]),
      );
    }
    scores = select(vec4f(LOWEST), capped(scores), keys < vec4u(end));
    let own = max(max(scores.x, scores.y), max(scores.z, scores.w));
    let next = max(largest, workgroup_max(own, lane));
    let correction = exp(largest - next);
    largest = next;
    let p = exp(scores - next);
    total = total * correction + dot(p, vec4f(1.0));
    for (var i = 0u; i < 4u; i++) {
      weights[lane + i * LANES] = p[i];
    }
    workgroupBarrier();
    sum *= correction;
    let count = min(CHUNK, end - base);
    if (part < PARTS) {
      for (var i = part; i < count; i += PARTS) {
        sum += weights[i] * v[key_origin + (base + i) * key_stride + d];
      }
    }
    workgroupBarrier();
  }

  total = workgroup_sum(total, lane);
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < HEAD_VECS) {
    for (var i = 1u; i < PARTS; i++) {
      sum += sums[lane + i * HEAD_VECS];
    }
    y[q_at + lane] = sum / total;
  }
  if (lane == 0u) {
    lse[row * params.heads + head] = largest + log(total);
  }
}
