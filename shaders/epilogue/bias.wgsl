// A bias by column, bound at 5, is added to the result of a product.
@group(0) @binding(5) var<storage, read> bias: array<Elements>;

fn epilogue(index: u32, value: Elements) -> Elements {
  return value + bias[index % (params.n / WIDTH)];
}
