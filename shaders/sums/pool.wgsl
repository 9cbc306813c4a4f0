// y[B, C] = the sum over a sequence of weights[B, T] · x[B, T, C], in the order of its rows; a thread an element. Rows of
// weight 0 are left out, whatever they hold.
struct Params {
  sequences: u32,
  length: u32,
  channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.sequences * params.channels) {
    return;
  }
  let first = i / params.channels * params.length;
  let channel = i % params.channels;
  var sum = 0.0;
  for (var row = first; row < first + params.length; row++) {
    if (weights[row] != 0.0) {
      sum += weights[row] * x[row * params.channels + channel];
    }
  }
  y[i] = sum;
}
