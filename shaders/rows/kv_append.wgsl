// cache[B, S, C] at positions start[b] … start[b] + T − 1 becomes x[B·T, C], as far as they are before end[b].
struct Params {
  rows: u32,
  length: u32,
  capacity: u32,
  channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> start: array<u32>;
@group(0) @binding(3) var<storage, read> end: array<u32>;
@group(0) @binding(4) var<storage, read_write> cache: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.channels) {
    return;
  }
  let row = i / params.channels;
  let sequence = row / params.length;
  let position = start[sequence] + row % params.length;
  if (position < min(end[sequence], params.capacity)) {
    cache[(sequence * params.capacity + position) * params.channels + i % params.channels] = x[i];
  }
}
