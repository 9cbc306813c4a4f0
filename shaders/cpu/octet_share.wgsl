// Eight lanes bring a vector each, and all of them get the eight, as the columns of two matrices.
enable subgroups;
struct BlockPair {
  first: mat4x4f, // of lanes 0 … 3
  second: mat4x4f, // of lanes 4 … 7
}

fn shared_octet(own: vec4f) -> BlockPair {
  return BlockPair(
    mat4x4f(
      subgroupBroadcast(own, 0u),
      subgroupBroadcast(own, 1u),
      subgroupBroadcast(own, 2u),
      subgroupBroadcast(own, 3u),
    ),
    mat4x4f(
      subgroupBroadcast(own, 4u),
      subgroupBroadcast(own, 5u),
      subgroupBroadcast(own, 6u),
      subgroupBroadcast(own, 7u),
    ),
  );
}

fn transposed_octet(blocks: BlockPair) -> BlockPair {
  return BlockPair(transpose(blocks.first), transpose(blocks.second));
}
