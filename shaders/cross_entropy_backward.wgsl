// dlogits = (softmax(logits) − onehot(label)) · dloss for rows with a label, else 0.
struct Params {
  rows: u32,
  vocab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.vocab) {
    return;
  }
  let row = i / params.vocab;
  let label = labels[row];
  if (label < 0) {
    dlogits[i] = 0.0;
    return;
  }
  let hit = select(0.0, 1.0, i % params.vocab == u32(label));
  dlogits[i] = (exp(logits[i] - lse[row]) - hit) * dloss[0];
}
