/** File sources that need no platform: HTTP and memory. */
import { GraftError } from '../core/errors';
import { formatCount } from '../core/format';
import type { FileSource } from '../core/store';

/** A folder held in memory. */
export function memorySource(name: string, files: Readonly<Record<string, Uint8Array>>): FileSource {
  const held = new Map(Object.entries(files));
  return {
    name,
    list: () => Promise.resolve([...held.keys()]),
    size: (file) => Promise.resolve(held.get(file)?.byteLength),
    read: (file, start = 0, end?) => {
      const bytes = held.get(file);
      return bytes
        ? Promise.resolve(bytes.subarray(start, end))
        : Promise.reject(new GraftError('not-found', `${name} has no file ${file}.`));
    },
  };
}

export interface HttpSourceOptions {
  /** What to call it in messages; the URL by default. */
  readonly name?: string;
  /** What `list()` answers, since HTTP can't list a folder. */
  readonly files?: readonly string[];
}

/** Bytes of a file that come with its size: more than configurations, headers and small tokenizers have. */
const BEGINNING_BYTES = 2 ** 18;

/** A folder on a web server, read by ranges where the server knows them and whole where it doesn't. */
export function httpSource(baseUrl: string, options: HttpSourceOptions = {}): FileSource {
  return new HttpSource(baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`, options);
}

class HttpSource implements FileSource {
  readonly name: string;
  private readonly sizes = new Map<string, Promise<number | undefined>>();
  /** What came with the size of each file: the whole of a small one, and the header of a large one. */
  private readonly beginnings = new Map<string, Uint8Array>();
  /** The last file of a server without ranges: it came whole, so it is kept for the next read. */
  private whole: { file: string; bytes: Uint8Array } | undefined;

  constructor(
    private readonly baseUrl: string,
    private readonly options: HttpSourceOptions,
  ) {
    this.name = options.name ?? baseUrl;
  }

  list(): Promise<string[]> {
    return this.options.files
      ? Promise.resolve([...this.options.files])
      : Promise.reject(new GraftError('unsupported', `The files of ${this.name} can't be listed over HTTP.`));
  }

  size(file: string): Promise<number | undefined> {
    const known = this.sizes.get(file);
    if (known) return known;
    const asked = this.fetchSize(file);
    this.sizes.set(file, asked);
    asked.catch(() => this.sizes.delete(file));
    return asked;
  }

  async read(file: string, start = 0, end?: number): Promise<Uint8Array> {
    if (end !== undefined && end <= start) return new Uint8Array(0);
    const known = await this.readBeginning(file, start, end);
    if (known) return known;
    if (this.whole?.file === file) return this.whole.bytes.subarray(start, end);
    const whole = start === 0 && end === undefined;
    const range = whole ? undefined : `bytes=${start}-${end === undefined ? '' : end - 1}`;
    // A browser's cache may hold another range of the file, and what stands between may give it out as this one.
    for (const cache of ['default', 'reload'] as const) {
      const response = await this.fetch(file, range, cache);
      if (!response) throw new GraftError('not-found', `${this.name} has no file ${file}.`);
      const bytes = await this.body(file, response);
      if (response.status === 206) {
        if (isRange(response, bytes, start, end)) return bytes;
        continue;
      }
      this.whole = { file, bytes };
      return bytes.subarray(start, end);
    }
    throw new GraftError('storage', `${this.name} answers with another part of ${file} than was asked for: try again.`);
  }

  /** What is asked for, where it came with the size of the file. */
  private async readBeginning(file: string, start: number, end = Infinity): Promise<Uint8Array | undefined> {
    const size = await this.sizes.get(file)?.catch(() => undefined); // whoever asked for it hears of it
    const beginning = this.beginnings.get(file);
    return beginning && size !== undefined && Math.min(end, size) <= beginning.byteLength
      ? beginning.subarray(start, end)
      : undefined;
  }

  /**
   * A HEAD answers with the compressed length where a server compresses, so a range is asked for, and one that spares the
   * next request: most files are opened after their size is known.
   */
  private async fetchSize(file: string): Promise<number | undefined> {
    const response = await this.fetch(file, `bytes=0-${BEGINNING_BYTES - 1}`);
    if (!response) return undefined;
    const bytes = await this.body(file, response);
    if (response.status === 200) {
      if (bytes.byteLength <= BEGINNING_BYTES) this.beginnings.set(file, bytes);
      else this.whole = { file, bytes };
      return bytes.byteLength;
    }
    const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (total === undefined) {
      throw new GraftError('storage', `${this.name} does not say how long ${file} is: try another server.`);
    }
    if (response.status === 206 && isRange(response, bytes, 0, BEGINNING_BYTES)) this.beginnings.set(file, bytes);
    return Number(total);
  }

  /** The response, or undefined where there is no such file; 416 is the answer for an empty file. */
  private async fetch(
    file: string,
    range: string | undefined,
    cache: RequestCache = 'default',
  ): Promise<Response | undefined> {
    const url = this.baseUrl + file.split('/').map(encodeURIComponent).join('/');
    let response: Response;
    try {
      response = await fetch(url, { headers: range ? { range } : {}, cache });
    } catch (cause) {
      throw new GraftError(
        'storage',
        `${this.name} can't be reached for ${file}: check the connection and try again.`,
        {
          cause,
        },
      );
    }
    // Servers of single-page apps answer an unknown path with the page itself.
    const page = response.headers.get('content-type')?.startsWith('text/html') && !file.endsWith('.html');
    if (response.status === 404 || response.status === 410 || (response.ok && page)) return undefined;
    if (!response.ok && response.status !== 416) {
      throw new GraftError('storage', `${this.name} answered ${response.status} ${response.statusText} for ${file}.`);
    }
    return response;
  }

  private async body(file: string, response: Response): Promise<Uint8Array> {
    try {
      return new Uint8Array(await response.arrayBuffer());
    } catch (cause) {
      const expected = Number(response.headers.get('content-length') ?? 0);
      const length = expected ? ` of ${formatCount(expected)} bytes` : '';
      throw new GraftError('storage', `The download${length} of ${file} from ${this.name} broke off: try again.`, {
        cause,
      });
    }
  }
}

/** Whether these are the bytes from `start` to before `end`, or to the end of the file where that comes first. */
function isRange(response: Response, bytes: Uint8Array, start: number, end: number | undefined): boolean {
  const [, first, last, total] =
    /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '') ?? [];
  // Another origin may not show the field.
  if (first === undefined) return end === undefined || bytes.byteLength <= end - start;
  const asked = Math.min(end ?? Infinity, total === '*' ? Infinity : Number(total));
  const isWhole = asked === Infinity || Number(last) === asked - 1;
  return Number(first) === start && isWhole && bytes.byteLength === Number(last) - start + 1;
}
