// C[M, N] = epilogue(alpha · A[M, K] · B[N, K]ᵀ) for few rows: a workgroup an output of every row, its 64 lanes along K.
// How a lane goes along K is a module: `lane_sums`. ROWS is M, so that sums stay in registers.
struct Params {
  m: u32,
  n: u32,
  k: u32,
  alpha: f32,
  weight_blocks: u32,
}

const LANES: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<WeightWords>; // B
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // C

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let column = group.x + group.y * groups.x;
  if (column >= params.n) {
    return;
  }
  let sums = lane_sums(column, lane);
  for (var row = 0u; row < ROWS; row++) {
    let sum = workgroup_sum(sums[row], lane);
    if (lane == 0u) {
      let index = row * params.n + column;
      y[index] = epilogue(index, params.alpha * sum);
    }
  }
}
