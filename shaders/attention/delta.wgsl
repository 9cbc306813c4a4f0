// What the backward pass knows of each row and head: (log-sum-exp, delta), delta = dy · y, the softmax's share of the
// gradient (FlashAttention-2, algorithm 2).
struct Params {
  count: u32, // N · H
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>; // [N, H]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  var sum = 0.0;
  for (var d = i * HEAD_VECS; d < (i + 1u) * HEAD_VECS; d++) {
    sum += dot(y[d], dy[d]);
  }
  stats[i] = vec2f(lse[i], sum);
}
