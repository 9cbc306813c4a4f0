// silu(g) = g · σ(g).
struct Activated {
  value: Elements,
  slope: Elements,
}
fn activation(g: Elements) -> Elements {
  return g / (1.0 + exp(-g));
}
fn activation_and_slope(g: Elements) -> Activated {
  let sigmoid = 1.0 / (1.0 + exp(-g));
  return Activated(g * sigmoid, sigmoid * (1.0 + g * (1.0 - sigmoid)));
}
