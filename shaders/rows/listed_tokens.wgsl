// The tokens of rows that are those of a list.
@group(0) @binding(5) var<storage, read> tokens: array<u32>;

fn token_of(row: u32) -> u32 {
  return tokens[row];
}
