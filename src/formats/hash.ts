/** SHA-256 over bytes that come piece by piece, whose state can be kept and taken up again. */
import { createSHA256, type IHasher } from 'hash-wasm';

/** WebCrypto hashes whole messages only; this one is WebAssembly, about a quarter as fast as WebCrypto. */
export class RunningSha256 {
  private constructor(private readonly hasher: IHasher) {}

  /** From the start, or from where an earlier one stood. Throws where the state is not one. */
  static async create(state?: Uint8Array): Promise<RunningSha256> {
    const hasher = (await createSHA256()).init();
    if (state) hasher.load(state);
    return new RunningSha256(hasher);
  }

  update(bytes: Uint8Array): void {
    this.hasher.update(bytes);
  }

  state(): Uint8Array {
    return this.hasher.save();
  }

  /** Lower-case hexadecimal. Nothing can be added afterwards. */
  digest(): string {
    return this.hasher.digest('hex');
  }
}
