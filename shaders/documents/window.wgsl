// The first key that a row sees, of its document and of its window: the latest `window` keys up to its own `position`. The
// shader's Params have `window`, all ones where there is none.
fn first_key(row: u32, position: u32) -> u32 {
  return max(first_row(row), max(position + 1u, params.window) - params.window);
}
