// norm[out] = ‖W + scaling · B·A‖ along each row, a workgroup a row; W[out, in], A[r, in], B[out, r]
// (Liu et al. 2024, DoRA, arXiv:2402.09353). PEFT treats it as a constant of the backward pass.
struct Params {
  rows: u32,
  columns: u32,
  rank: u32,
  scaling: f32,
  weight_blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<WeightWords>; // W
@group(0) @binding(2) var<storage, read> lora_a: array<f32>;
@group(0) @binding(3) var<storage, read> lora_b: array<f32>;
@group(0) @binding(4) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= params.rows) {
    return;
  }
  var squares = 0.0;
  for (var column = lane; column < params.columns; column += 64u) {
    var delta = 0.0;
    for (var i = 0u; i < params.rank; i++) {
      delta = fma(lora_b[row * params.rank + i], lora_a[i * params.columns + column], delta);
    }
    let index = row * params.columns + column;
    let value = weight_vec4(index / 4u)[index % 4u] + params.scaling * delta;
    squares = fma(value, value, squares);
  }
  let total = workgroup_sum(squares, lane);
  if (lane == 0u) {
    norm[row] = sqrt(total);
  }
}
