// Scales are kept apart, to be quantised in their turn.
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;
fn store_scale(block: u32, scale: f32) {
  scales[block] = scale;
}
