// The tokens of the rows of a part of a table: those from `first_row` of the Params on.
fn token_of(row: u32) -> u32 {
  return params.first_row + row;
}
