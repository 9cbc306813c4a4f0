// Values of NF4 codes from a table, for CPU adapters: a look-up costs them less than fifteen selections.
const NF4_CODE = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
);
fn nf4_values(codes: vec4u) -> vec4f {
  return vec4f(NF4_CODE[codes.x], NF4_CODE[codes.y], NF4_CODE[codes.z], NF4_CODE[codes.w]);
}
