// Distillation by a teacher's likeliest tokens: of log-probabilities student[N, K] and teacher[N, K] of the tokens
// targets[N, K], none where negative, each row's divergence between both as distributions over these tokens, and its gradient
// by the student's log-probabilities. beta 0 is KL(teacher || student), 1 is KL(student || teacher), and between them
// beta · KL(teacher || m) + (1 − beta) · KL(student || m) of the mixture m = beta · teacher + (1 − beta) · student.
// Without a tail both are renormalised over the row's tokens, at a temperature; with one, all other tokens are one class more.
struct Params {
  rows: u32,
  per_row: u32,
  beta: f32,
  inverse_temperature: f32,
  has_tail: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> student: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> teacher: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<f32>;

// What is left of a distribution is at least this: a rounding of 1.
const LEAST_TAIL = 5.9604645e-8;

// log(1 + x): where x is small, 2 · atanh(x / (2 + x)) as a series, exact to the last bits.
fn log_plus_one(x: f32) -> f32 {
  if (x < -0.5 || x > 1.0) {
    return log(1.0 + x);
  }
  let z = x / (2.0 + x);
  let square = z * z;
  var sum = 1.0 / 17.0;
  for (var n = 15.0; n > 0.0; n -= 2.0) {
    sum = sum * square + 1.0 / n;
  }
  return 2.0 * z * sum;
}

// The part of the divergence that is a class of probability p and q, difference = log(p / q), and q times the divergence's
// derivative by q. Logarithms of p and q themselves would lose what is small in their difference.
fn class_loss(p: f32, q: f32, difference: f32) -> vec2f {
  if (params.beta == 0.0) {
    return vec2f(p * difference, -p);
  }
  if (params.beta == 1.0) {
    return vec2f(-q * difference, q - q * difference);
  }
  let rest = 1.0 - params.beta;
  // log(m / q), from whichever of p and q is the larger, so that no exponential overflows.
  let log_mixture = select(
    difference + log_plus_one(rest * (exp(-abs(difference)) - 1.0)),
    log_plus_one(params.beta * (exp(-abs(difference)) - 1.0)),
    difference <= 0.0,
  );
  return vec2f(
    params.beta * p * (difference - log_mixture) - rest * q * log_mixture,
    -rest * q * log_mixture,
  );
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = id.x + id.y * groups.x * 64u;
  if (row >= params.rows) {
    return;
  }
  let first = row * params.per_row;
  let end = first + params.per_row;
  let scale = params.inverse_temperature;
  var of_teacher = 0.0;
  var of_student = 0.0;
  if (params.has_tail == 0u) {
    of_teacher = -3.0e38;
    of_student = -3.0e38;
    for (var i = first; i < end; i++) {
      if (targets[i] >= 0) {
        of_teacher = max(of_teacher, teacher[i] * scale);
        of_student = max(of_student, student[i] * scale);
      }
    }
  }
  var teacher_sum = 0.0;
  var student_sum = 0.0;
  for (var i = first; i < end; i++) {
    if (targets[i] >= 0) {
      teacher_sum += exp(teacher[i] * scale - of_teacher);
      student_sum += exp(student[i] * scale - of_student);
    }
  }
  if (teacher_sum == 0.0) { // no token, no loss
    losses[row] = 0.0;
    for (var i = first; i < end; i++) {
      gradient[i] = 0.0;
    }
    return;
  }
  let has_tail = params.has_tail != 0u;
  let teacher_total = select(teacher_sum, 1.0, has_tail);
  let student_total = select(student_sum, 1.0, has_tail);
  let shift = log(teacher_total / student_total);
  var loss = 0.0;
  var slopes = 0.0;
  for (var i = first; i < end; i++) {
    if (targets[i] >= 0) {
      let a = teacher[i] * scale - of_teacher;
      let b = student[i] * scale - of_student;
      let found = class_loss(exp(a) / teacher_total, exp(b) / student_total, a - b - shift);
      loss += found.x;
      slopes += found.y;
    }
  }
  if (has_tail) {
    let p = max(1.0 - teacher_sum, LEAST_TAIL);
    let q = max(1.0 - student_sum, LEAST_TAIL);
    let found = class_loss(p, q, log(p / q));
    loss += found.x;
    slopes = found.y / q; // what all other tokens lose is what these win
  }
  losses[row] = loss;
  for (var i = first; i < end; i++) {
    var slope = 0.0;
    if (targets[i] >= 0) {
      let a = teacher[i] * scale - of_teacher;
      let b = student[i] * scale - of_student;
      let q = exp(b) / student_total;
      slope = scale * (class_loss(exp(a) / teacher_total, q, a - b - shift).y - q * slopes);
    }
    gradient[i] = slope;
  }
}
