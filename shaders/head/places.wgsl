// Where the rows of a chunk lie that have a target. A shader that stands on it binds `rows` (those of the batch, in order,
// and past their count the largest u32), and has `first_row` among its Params.

// The place among all rows of a row of the chunk; past the end of them where there is no such row.
fn place_of(row: u32) -> u32 {
  return rows[params.first_row + row];
}
