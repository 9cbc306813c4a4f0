// The products of matmul_quad.wgsl with NF4 weights whose rows are whole blocks: no scale is read twice for a block.
fn quad_products(row: u32, column: u32, lane: u32) -> Sums {
  if (TRANSPOSE_B) {
    return along_rows(row, column, lane);
  }
  return across_rows(row, column, lane);
}

// The lane's columns are eight rows of the weight: along K, a scale serves a block, and a word two steps.
fn along_rows(row: u32, column: u32, lane: u32) -> Sums {
  let blocks = params.k / BLOCK;
  let last = params.n - 1u;
  let first0 = min(column, last) * blocks;
  let first1 = min(column + 1u, last) * blocks;
  let first2 = min(column + 2u, last) * blocks;
  let first3 = min(column + 3u, last) * blocks;
  let first4 = min(column + 4u, last) * blocks;
  let first5 = min(column + 5u, last) * blocks;
  let first6 = min(column + 6u, last) * blocks;
  let first7 = min(column + 7u, last) * blocks;
  var sums = Sums();
  for (var block = 0u; block < blocks; block++) {
    let scale0 = weight_scale(first0 + block);
    let scale1 = weight_scale(first1 + block);
    let scale2 = weight_scale(first2 + block);
    let scale3 = weight_scale(first3 + block);
    let scale4 = weight_scale(first4 + block);
    let scale5 = weight_scale(first5 + block);
    let scale6 = weight_scale(first6 + block);
    let scale7 = weight_scale(first7 + block);
    for (var half = 0u; half < 16u; half++) {
      let word = half / 2u;
      let shift = half % 2u * 16u;
      let b0 = mat4x4f(
        half_word(weights[(first0 + block) * 8u + word], shift, scale0),
        half_word(weights[(first1 + block) * 8u + word], shift, scale1),
        half_word(weights[(first2 + block) * 8u + word], shift, scale2),
        half_word(weights[(first3 + block) * 8u + word], shift, scale3),
      );
      let b1 = mat4x4f(
        half_word(weights[(first4 + block) * 8u + word], shift, scale4),
        half_word(weights[(first5 + block) * 8u + word], shift, scale5),
        half_word(weights[(first6 + block) * 8u + word], shift, scale6),
        half_word(weights[(first7 + block) * 8u + word], shift, scale7),
      );
      sums = add_products(sums, transpose(b0), transpose(b1), row, block * BLOCK + half * 4u, lane);
    }
  }
  return sums;
}

// The lane's columns are a word of each row of the weight, and the quad's are of one block: each lane reads the scale of
// one row in four.
fn across_rows(row: u32, column: u32, lane: u32) -> Sums {
  let stride = params.n / 8u;
  let own = min(column, params.n - 8u) / 8u;
  var sums = Sums();
  for (var k = 0u; k < params.k; k += 4u) {
    let i = k * stride + own;
    let word0 = weights[i];
    let word1 = weights[i + stride];
    let word2 = weights[i + 2u * stride];
    let word3 = weights[i + 3u * stride];
    let scale = weight_scale((i + lane % 4u * stride) / 8u);
    let scale0 = quadBroadcast(scale, 0u);
    let scale1 = quadBroadcast(scale, 1u);
    let scale2 = quadBroadcast(scale, 2u);
    let scale3 = quadBroadcast(scale, 3u);
    let b0 = mat4x4f(
      half_word(word0, 0u, scale0),
      half_word(word1, 0u, scale1),
      half_word(word2, 0u, scale2),
      half_word(word3, 0u, scale3),
    );
    let b1 = mat4x4f(
      half_word(word0, 16u, scale0),
      half_word(word1, 16u, scale1),
      half_word(word2, 16u, scale2),
      half_word(word3, 16u, scale3),
    );
    sums = add_products(sums, b0, b1, row, k, lane);
  }
  return sums;
}
