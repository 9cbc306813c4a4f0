// One operand of a product is dropout of the tensor that is bound: it is drawn as it is loaded, the same for every load.
@group(0) @binding(6) var<storage, read> seed: array<u32>;

var<private> draws: Draws;

fn prepare_operands() {
  draws = draws_of(seed[0], params.drop_stream, params.drop_offset, params.drop_probability);
}
