// Moves the gradient of logits[rows, columns] at the columns of tokens to token_logits[rows, tokens], for those whose columns
// lie in this part of the vocabulary, and leaves 0 there; a thread a row and token.
struct Params {
  rows: u32,
  columns: u32,
  first_column: u32, // of the whole vocabulary
  tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>; // of the tokens
@group(0) @binding(2) var<storage, read_write> token_logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.rows * params.tokens) {
    return;
  }
  let column = ids[i % params.tokens] - params.first_column; // wraps where the id is below
  if (column < params.columns) {
    let place = i / params.tokens * params.columns + column;
    token_logits[i] = logits[place];
    logits[place] = 0.0;
  }
}
