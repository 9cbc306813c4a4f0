// Scores and logits are capped softly, at cap · tanh(x / cap), as in Gemma 2 (arXiv:2408.00118). The shader's Params have
// `softcap`. A driver's own tanh may be off by 1e-5 and may overflow: here it is a polynomial up to a half, fitted to the
// relative error, and (1 − e) / (1 + e) with e = exp(−2 |x|) from there on.
fn capped(x: Elements) -> Elements {
  let u = x / params.softcap;
  let square = u * u;
  let series = ((0.017241483 * square - 0.053045491) * square + 0.13325879) * square - 0.33333144;
  let small = u + u * square * series;
  let e = exp(-2.0 * abs(u));
  let large = sign(u) * (1.0 - e) / (1.0 + e);
  return params.softcap * select(small, large, abs(u) > Elements(0.5));
}

// The gradient of x from that of capped(x): 1 − tanh² = 4 e / (1 + e)², which stays exact where tanh is almost 1.
fn cap_gradient(gradient: Elements, x: Elements) -> Elements {
  let e = exp(-2.0 * abs(x / params.softcap));
  return gradient * (4.0 * e / ((1.0 + e) * (1.0 + e)));
}
