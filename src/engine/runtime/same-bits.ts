/** Whether kernels that should write the same bits do on this device. */
import { byteSize, type Tensor } from '../graph/tensor';
import type { Memory } from './memory';

/** Pieces of what a kernel wrote: all of it where that is little, else pieces spread evenly, the last at the end. */
export class BitSample {
  static readonly PIECE_BYTES = 65_536;
  private static readonly MOST_PIECES = 64;

  constructor(private readonly pieces: readonly Uint32Array[]) {}

  static async read(memory: Memory, outputs: readonly Tensor[]): Promise<BitSample> {
    const pieces: Uint32Array[] = [];
    for (const output of outputs) {
      const bytes = byteSize(output);
      const length = Math.min(bytes, BitSample.PIECE_BYTES);
      const count = Math.min(BitSample.MOST_PIECES, Math.ceil(bytes / length));
      for (let i = 0; i < count; i++) {
        const start = count === 1 ? 0 : 4 * Math.floor(((bytes - length) / 4) * (i / (count - 1)));
        for await (const piece of memory.readPieces(output.leaf!.name, length, start)) {
          pieces.push(new Uint32Array(piece.buffer));
        }
      }
    }
    return new BitSample(pieces);
  }

  equals({ pieces }: BitSample): boolean {
    return this.pieces.every((piece, i) => piece.every((word, k) => word === pieces[i]![k]));
  }
}

/**
 * The names of the largest group that wrote the same, and the others. Of groups as large, the one of the name that
 * stands first: a kernel is preferred for a reason.
 */
export function agreeing(written: ReadonlyMap<string, BitSample>): { same: string[]; differing: string[] } {
  const groups: { sample: BitSample; names: string[] }[] = [];
  for (const [name, sample] of written) {
    const group = groups.find((candidate) => candidate.sample.equals(sample));
    if (group) group.names.push(name);
    else groups.push({ sample, names: [name] });
  }
  const same = groups.reduce<string[]>((most, { names }) => (names.length > most.length ? names : most), []);
  return { same, differing: [...written.keys()].filter((name) => !same.includes(name)) };
}
