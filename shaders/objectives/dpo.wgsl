// DPO of pairs (arXiv:2305.18290): of log-probabilities log_probs[P, 2] and reference[P, 2] of whole answers, the chosen one
// first, h = beta · ((chosen − its reference) − (rejected − its reference)), loss = sum of weight · −log sigmoid(h), its
// gradient by each log-probability, and weighted sums of what is logged. One workgroup, always in the same order.
struct Params {
  pairs: u32,
  beta: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> log_probs: array<f32>;
@group(0) @binding(2) var<storage, read> reference_log_probs: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
// Rewards of the chosen and the rejected, how often the first is larger, their difference, and both log-probabilities.
@group(0) @binding(5) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;

// log(1 + e) of e from 0 to 1, exact for small e: 2 · atanh(e / (2 + e)) as a series.
fn log_plus_one(e: f32) -> f32 {
  let z = e / (2.0 + e);
  let square = z * z;
  var sum = 1.0 / 17.0;
  for (var n = 15.0; n > 0.0; n -= 2.0) {
    sum = sum * square + 1.0 / n;
  }
  return 2.0 * z * sum;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var total = 0.0;
  var sums = array<f32, 6>();
  for (var pair = lane; pair < params.pairs; pair += 64u) {
    let weight = weights[pair];
    let chosen = log_probs[2u * pair];
    let rejected = log_probs[2u * pair + 1u];
    let chosen_reward = params.beta * (chosen - reference_log_probs[2u * pair]);
    let rejected_reward = params.beta * (rejected - reference_log_probs[2u * pair + 1u]);
    let margin = chosen_reward - rejected_reward;
    let small = exp(-abs(margin));
    total += weight * (max(-margin, 0.0) + log_plus_one(small));
    let wrong = select(1.0, small, margin >= 0.0) / (1.0 + small); // sigmoid(−margin)
    let slope = -weight * params.beta * wrong;
    gradient[2u * pair] = slope;
    gradient[2u * pair + 1u] = -slope;
    sums[0] += weight * chosen_reward;
    sums[1] += weight * rejected_reward;
    sums[2] += weight * select(0.0, 1.0, chosen_reward > rejected_reward);
    sums[3] += weight * margin;
    sums[4] += weight * chosen;
    sums[5] += weight * rejected;
  }
  let all = workgroup_sum(total, lane);
  if (lane == 0u) {
    loss[0] = all;
  }
  for (var i = 0u; i < 6u; i++) {
    let sum = workgroup_sum(sums[i], lane);
    if (lane == 0u) {
      metrics[i] = sum;
    }
  }
}
