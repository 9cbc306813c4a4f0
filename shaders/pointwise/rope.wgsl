// Rotary position embedding on the first R channels of each head of x[B·T, H·D], pairs (i, i + R/2) as Transformers pairs
// them (Su et al. 2021); the rest is passed on. WIDTH pairs a thread. The tables hold cos and sin of position · inverse
// frequency, [positions, R/2]; positions count from the first row of a document. `direction` −1 rotates back.
struct Params {
  threads: u32,
  length: u32,
  heads: u32,
  half_vectors: u32, // R/2 in units of WIDTH
  head_vectors: u32, // D in units of WIDTH
  direction: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// binding 1 is the operand x
@group(0) @binding(2) var<storage, read> start: array<u32>; // [B], position of the first row of each sequence
@group(0) @binding(3) var<storage, read> cosines: array<Elements>;
@group(0) @binding(4) var<storage, read> sines: array<Elements>;
@group(0) @binding(5) var<storage, read_write> y: array<Elements>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.threads) {
    return;
  }
  let pairs = params.head_vectors / 2u;
  let pair = i % pairs;
  let head_row = i / pairs;
  let head = head_row * params.head_vectors;
  if (pair >= params.half_vectors) {
    let passed = head + 2u * pair;
    y[passed] = operand(passed);
    y[passed + 1u] = operand(passed + 1u);
    return;
  }
  let row = head_row / params.heads;
  let position = start[row / params.length] + row % params.length - first_row(row);
  let cosine = cosines[position * params.half_vectors + pair];
  let sine = params.direction * sines[position * params.half_vectors + pair];
  let low = head + pair;
  let high = low + params.half_vectors;
  let left = operand(low);
  let right = operand(high);
  y[low] = left * cosine - right * sine;
  y[high] = right * cosine + left * sine;
}
