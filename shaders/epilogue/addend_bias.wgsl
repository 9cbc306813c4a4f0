// The result of a product is added to a tensor of its shape, bound at 4, and a bias by column, bound at 5, to both.
@group(0) @binding(4) var<storage, read> addend: array<Elements>;
@group(0) @binding(5) var<storage, read> bias: array<Elements>;

fn epilogue(index: u32, value: Elements) -> Elements {
  return (addend[index] + value) + bias[index % (params.n / WIDTH)];
}
