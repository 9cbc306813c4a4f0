// Rotary position embedding on x[B·T, H·D], pairs (i, i + D/2) as Transformers pairs them (Su et al. 2021).
// The tables hold cos and sin of position · inverse frequency, [positions, D/2]; positions count from the first row of a
// document. `direction` −1 rotates back.
struct Params {
  rows: u32,
  length: u32,
  heads: u32,
  half_dim: u32,
  direction: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> start: array<u32>; // [B], position of the first row of each sequence
@group(0) @binding(3) var<storage, read> cosines: array<f32>;
@group(0) @binding(4) var<storage, read> sines: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.heads * params.half_dim) {
    return;
  }
  let pair = i % params.half_dim;
  let head_row = i / params.half_dim;
  let row = head_row / params.heads;
  let position = start[row / params.length] + row % params.length - first_row(row);
  let cosine = cosines[position * params.half_dim + pair];
  let sine = params.direction * sines[position * params.half_dim + pair];
  let low = head_row * 2u * params.half_dim + pair;
  let high = low + params.half_dim;
  y[low] = x[low] * cosine - x[high] * sine;
  y[high] = x[high] * cosine + x[low] * sine;
}
