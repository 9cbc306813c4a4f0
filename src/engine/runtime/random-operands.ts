/** Values for kernels to be measured on: zeros take less power than data on a card, and hide what a kernel gets wrong. */
import { fromFloat32 } from '../../core/dtypes';
import { dynamicMap } from '../../core/dynamic-map';
import { quantizedLayout } from '../../core/quantization';
import { Random } from '../../core/rng';
import { byteSize, isQuantized, type Tensor } from '../graph/tensor';
import type { Memory } from './memory';

/** Words that are drawn; they repeat from there on, at a length that no row's is a multiple of. */
const DRAWN_WORDS = 65_537;

/** Fills a leaf with normal values, or with codes of any kind and scales about 1. Its gaps hold what they held. */
export function fillRandomly(memory: Memory, { leaf, dtype, shape }: Tensor): void {
  const name = leaf!.name;
  const random = new Random(11, 0);
  const words = byteSize({ dtype, shape }) / 4;
  if (!isQuantized(dtype)) {
    if (dtype === 'u32' || dtype === 'i32') throw new Error(`${name} holds integers, which have a meaning`);
    const count = Math.min(words, DRAWN_WORDS) * (dtype === 'f32' ? 1 : 2);
    const drawn = fromFloat32(
      Float32Array.from({ length: count }, () => random.normal()),
      dtype,
    );
    repeat(memory, name, 0, words, new Uint32Array(drawn.slice().buffer));
    return;
  }
  const layout = quantizedLayout(dtype, shape);
  const drawnCodes = Uint32Array.from({ length: Math.min(words, DRAWN_WORDS) }, () => random.uint32());
  repeat(memory, name, 0, layout.scales, drawnCodes);
  const scales = Math.min(DRAWN_WORDS + 1, 2 * Math.ceil((layout.words - layout.scales) / 2) + 2);
  const scalesAboutOne = Float32Array.from({ length: scales }, () => 0.5 + random.uniform());
  if (dtype === 'nf4') {
    repeat(memory, name, layout.scales, layout.words, new Uint32Array(scalesAboutOne.buffer));
  } else if (dtype === 'q8') {
    const halves = fromFloat32(scalesAboutOne, 'f16');
    repeat(memory, name, layout.scales, layout.words, new Uint32Array(halves.slice().buffer));
  } else {
    repeat(memory, name, layout.scales, layout.nestedScales, drawnCodes);
    repeat(memory, name, layout.nestedScales, layout.nestedMean, new Uint32Array(scalesAboutOne.buffer));
    const mean = Float32Array.of(1);
    memory.write(name, mean, 4 * layout.nestedMean);
    memory.write(name, dynamicMap(true), 4 * (layout.nestedMean + 1));
  }
}

/** Writes words `start` to `end` of a leaf, over and over the same. */
function repeat(memory: Memory, name: string, start: number, end: number, words: Uint32Array): void {
  for (let at = start; at < end; at += words.length) {
    memory.write(name, words.subarray(0, Math.min(words.length, end - at)), 4 * at);
  }
}
