// What a row of a chunk of labelled rows predicts. A shader that stands on it binds `labels`, those of all rows; it comes
// after `head/places`.

// Negative where there is none.
fn label_of(row: u32) -> i32 {
  let place = place_of(row);
  if (place < arrayLength(&labels)) {
    return labels[place];
  }
  return -1;
}
