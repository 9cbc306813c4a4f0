// What a row of a chunk of labelled rows predicts. A shader that stands on it binds `labels` (of all rows) and `rows` (of
// the labelled ones, in order, and past their count the largest u32), and has `first_row` among its Params.

// Its place among all rows; past the end of them where there is no such labelled row.
fn place_of(row: u32) -> u32 {
  return rows[params.first_row + row];
}

// Negative where there is none.
fn label_of(row: u32) -> i32 {
  let place = place_of(row);
  if (place < arrayLength(&labels)) {
    return labels[place];
  }
  return -1;
}
