// AdamW with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101), as torch.optim.AdamW computes it,
// after clipping by the global norm as torch.nn.utils.clip_grad_norm_ does.
// A step whose loss or norm is not finite changes nothing, so that the run can stop with the last good weights.
struct Params {
  count: u32,
  one_minus_beta1: f32, // 1 − β from the host: in f32 it would lose half its digits
  one_minus_beta2: f32,
  epsilon: f32,
  weight_decay: f32,
  max_norm: f32, // 0: no clipping
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read> norm: array<u32>; // f32, read as words for the guard
@group(0) @binding(3) var<storage, read> loss: array<u32>; // likewise
@group(0) @binding(4) var<storage, read> schedule: array<f32>; // learning rate, 1 − β₁ᵗ, sqrt(1 − β₂ᵗ)
@group(0) @binding(5) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(6) var<storage, read_write> exp_avg: array<f32>;
@group(0) @binding(7) var<storage, read_write> exp_avg_sq: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  let finite = finite_bits(norm[0]) && finite_bits(loss[0]);
  if (i >= params.count || !finite) {
    return;
  }
  var g = gradient[i];
  if (params.max_norm > 0.0) {
    g *= min(1.0, params.max_norm / (bitcast<f32>(norm[0]) + 1e-6));
  }
  let rate = schedule[0];
  let m = exp_avg[i] + (g - exp_avg[i]) * params.one_minus_beta1;
  let v = exp_avg_sq[i] * (1.0 - params.one_minus_beta2) + g * g * params.one_minus_beta2;
  exp_avg[i] = m;
  exp_avg_sq[i] = v;
  let decayed = parameter[i] * (1.0 - rate * params.weight_decay);
  parameter[i] = decayed - rate / schedule[1] * m / (sqrt(v) / schedule[2] + params.epsilon);
}
