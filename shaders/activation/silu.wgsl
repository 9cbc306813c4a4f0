// silu(g) = g · σ(g).
struct Activated {
  value: vec4f,
  slope: vec4f,
}
fn activation(g: vec4f) -> vec4f {
  return g / (1.0 + exp(-g));
}
fn activation_and_slope(g: vec4f) -> Activated {
  let sigmoid = 1.0 / (1.0 + exp(-g));
  return Activated(g * sigmoid, sigmoid * (1.0 + g * (1.0 - sigmoid)));
}
