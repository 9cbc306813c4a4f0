// GELU in its tanh form (Hendrycks and Gimpel 2016, arXiv:1606.08415): g/2 · (1 + tanh u), u = √(2/π) (g + 0.044715 g³).
// As g · σ(2u): WGSL's tanh may overflow where exp does.
struct Activated {
  value: Elements,
  slope: Elements,
}
const TWICE_ROOT_2_OVER_PI: f32 = 1.5957691216057308;
const CUBIC: f32 = 0.044715;
fn gate_of(g: Elements) -> Elements {
  return 1.0 / (1.0 + exp(-TWICE_ROOT_2_OVER_PI * g * (1.0 + CUBIC * g * g)));
}
fn activation(g: Elements) -> Elements {
  return g * gate_of(g);
}
fn activation_and_slope(g: Elements) -> Activated {
  let sigmoid = gate_of(g);
  let inner_slope = TWICE_ROOT_2_OVER_PI * (1.0 + 3.0 * CUBIC * g * g);
  return Activated(g * sigmoid, sigmoid * (1.0 + g * (1.0 - sigmoid) * inner_slope));
}
