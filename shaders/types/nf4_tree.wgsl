// Values of NF4 codes by a tree of selections, for cards: no memory is touched, and every lane does the same work.
fn nf4_values(codes: vec4u) -> vec4f {
  let bit0 = (codes & vec4u(1u)) != vec4u();
  let bit1 = (codes & vec4u(2u)) != vec4u();
  let bit2 = (codes & vec4u(4u)) != vec4u();
  let bit3 = (codes & vec4u(8u)) != vec4u();
  let code0 = select(vec4f(-1.0), vec4f(-0.6961928009986877), bit0);
  let code2 = select(vec4f(-0.5250730514526367), vec4f(-0.39491748809814453), bit0);
  let code4 = select(vec4f(-0.28444138169288635), vec4f(-0.18477343022823334), bit0);
  let code6 = select(vec4f(-0.09105003625154495), vec4f(0.0), bit0);
  let code8 = select(vec4f(0.07958029955625534), vec4f(0.16093020141124725), bit0);
  let code10 = select(vec4f(0.24611230194568634), vec4f(0.33791524171829224), bit0);
  let code12 = select(vec4f(0.44070982933044434), vec4f(0.5626170039176941), bit0);
  let code14 = select(vec4f(0.7229568362236023), vec4f(1.0), bit0);
  let low = select(select(code0, code2, bit1), select(code4, code6, bit1), bit2);
  let high = select(select(code8, code10, bit1), select(code12, code14, bit1), bit2);
  return select(low, high, bit3);
}
