/** A blob that is sent, and says how far it is. */

/** Bytes that count as one step: a blob in memory gives all that it has at once. */
const PIECE = 256 * 2 ** 10;

/**
 * The bytes of `content`. Node's `fetch` reads a body through its `stream`, so that each piece is counted as it goes to the
 * network; a browser's takes the bytes by itself and tells nothing before the answer.
 */
export class CountedBlob extends Blob {
  /** Why reading `content` failed: `fetch` says of it only that the request did. */
  failure: unknown;

  /** @param onBytes hears of each piece */
  constructor(
    private readonly content: Blob,
    private readonly onBytes: (bytes: number) => void,
  ) {
    super([content], { type: content.type });
  }

  // A file that is read as it is sent is another kind of blob, whose size its base class doesn't know.
  override get size(): number {
    return this.content.size;
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const reader = this.content.stream().getReader();
    let rest = new Uint8Array(0);
    return new ReadableStream(
      {
        pull: async (controller) => {
          try {
            while (rest.byteLength === 0) {
              const { done, value } = await reader.read();
              if (done) return controller.close();
              rest = value;
            }
            const piece = rest.subarray(0, PIECE);
            rest = rest.subarray(PIECE);
            this.onBytes(piece.byteLength);
            controller.enqueue(piece);
          } catch (error) {
            this.failure = error;
            controller.error(error);
          }
        },
        cancel: (reason) => reader.cancel(reason),
      },
      { highWaterMark: 0 },
    );
  }
}
