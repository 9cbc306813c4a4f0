/** SHA-256 over bytes that come piece by piece, whose state can be kept and taken up again. */
import { createSHA256, type IHasher } from 'hash-wasm';

/** WebCrypto hashes whole messages only; this one is WebAssembly, about a quarter as fast as WebCrypto. */
export class RunningSha256 {
  private constructor(private readonly hasher: IHasher) {}

  static async create(): Promise<RunningSha256> {
    return new RunningSha256((await createSHA256()).init());
  }

  /** From where an earlier one stood; undefined where the state is of another version of the hash, or none at all. */
  static async resume(state: Uint8Array): Promise<RunningSha256 | undefined> {
    const hasher = (await createSHA256()).init();
    try {
      return new RunningSha256(hasher.load(state));
    } catch {
      return undefined;
    }
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
