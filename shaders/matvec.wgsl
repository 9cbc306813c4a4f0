// C[M, N] = epilogue(alpha · A[M, K] · B[N, K]ᵀ) for few rows: a workgroup an output, its 64 lanes along K.
struct Params {
  m: u32,
  n: u32,
  k: u32,
  alpha: f32,
  weight_blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<WeightWords>; // B
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

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
  for (var row = 0u; row < params.m; row++) {
    var partial = 0.0;
    for (var k = lane; k < params.k; k += 64u) {
      let index = column * params.k + k;
      partial = fma(a[row * params.k + k], weight_vec4(index / 4u)[index % 4u], partial);
    }
    let sum = workgroup_sum(partial, lane);
    if (lane == 0u) {
      let index = row * params.n + column;
      c[index] = epilogue(index, params.alpha * sum);
    }
  }
}
