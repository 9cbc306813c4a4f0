/** A file of the disk as a blob: it is read as it is sent, and never whole in memory. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { GraftError } from '../core/errors';
import { reason } from './disk';

/** Bytes of one read. */
const PIECE = 2 ** 20;

/** The file at `path`. One that changes after this is refused when it is read. @throws `storage` where it can't be read */
export async function openFileBlob(path: string): Promise<Blob> {
  const found = await stat(path, { bigint: true }).catch((cause: unknown) => refuseUnreadable(path, cause));
  return new FileBlob({ path, version: versionOf(found) }, 0, Number(found.size));
}

interface OpenedFile {
  readonly path: string;
  /** What it was when it was opened. */
  readonly version: string;
}

class FileBlob extends Blob {
  constructor(
    private readonly file: OpenedFile,
    private readonly start: number,
    private readonly end: number,
  ) {
    super();
  }

  override get size(): number {
    return this.end - this.start;
  }

  override slice(start = 0, end = this.size): Blob {
    const within = (at: number) => this.start + Math.min(this.size, Math.max(0, at < 0 ? this.size + at : at));
    return new FileBlob(this.file, within(start), Math.max(within(start), within(end)));
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let handle: FileHandle | undefined;
    let at = this.start;
    const close = async () => {
      await handle?.close();
      handle = undefined;
    };
    return new ReadableStream(
      {
        pull: async (controller) => {
          try {
            handle ??= await this.open();
            const bytes = new Uint8Array(Math.min(PIECE, this.end - at));
            const { bytesRead } = await handle.read(bytes, 0, bytes.byteLength, at);
            if (bytesRead === 0 && at < this.end) throw changed(this.file.path);
            at += bytesRead;
            if (bytesRead > 0) controller.enqueue(bytes.subarray(0, bytesRead));
            if (at < this.end) return;
            await close();
            controller.close();
          } catch (cause) {
            await close().catch(() => undefined);
            if (cause instanceof GraftError) throw cause;
            refuseUnreadable(this.file.path, cause);
          }
        },
        cancel: close,
      },
      { highWaterMark: 0 },
    );
  }

  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.arrayBuffer());
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return new Response(this.stream()).arrayBuffer();
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }

  private async open(): Promise<FileHandle> {
    const handle = await open(this.file.path).catch((cause: unknown) => refuseUnreadable(this.file.path, cause));
    if (versionOf(await handle.stat({ bigint: true })) === this.file.version) return handle;
    await handle.close();
    throw changed(this.file.path);
  }
}

function versionOf({ dev, ino, size, mtimeNs }: Record<'dev' | 'ino' | 'size' | 'mtimeNs', bigint>): string {
  return `${dev} ${ino} ${size} ${mtimeNs}`;
}

function changed(path: string): GraftError {
  return new GraftError(
    'bad-file',
    `${path} was changed while it was sent: leave it as it is until the upload is done, and start again.`,
  );
}

function refuseUnreadable(path: string, cause: unknown): never {
  throw new GraftError('storage', `${path} can't be read: ${reason(cause)}.`, { cause });
}
