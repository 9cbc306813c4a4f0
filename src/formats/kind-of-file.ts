/** What a file really is, by its first bytes, where it isn't what its name says: one sentence with what to do. */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import type { FileSource } from '../core/store';

/** Enough for every mark below; tar has its own at byte 257. */
const HEAD_BYTES = 512;

interface Kind {
  /** Follows the file's name: `is a zip archive`. */
  readonly what: string;
  /** Ends the sentence: `unpack it first`. */
  readonly advice: string;
}

const AGAIN = 'download it again';
const UNPACK = 'unpack it first';
const CONVERT = 'Graft reads safetensors and GGUF, so convert it, or pick a model that has them';

/** Marks at the start of a file. */
const MARKS: readonly (readonly [bytes: string | readonly number[], kind: Kind])[] = [
  ['GGUF', { what: 'is a GGUF file', advice: 'let its name end in .gguf and name that file as the model' }],
  [['t', 'j', 'g', 'g'].map(code), { what: 'is a GGML file of before GGUF', advice: CONVERT }],
  [['l', 'm', 'g', 'g'].map(code), { what: 'is a GGML file of before GGUF', advice: CONVERT }],
  [[0x50, 0x4b, 3, 4], { what: 'is a zip archive, as PyTorch writes its weights', advice: CONVERT }],
  [[0x80, 2], { what: 'is a Python pickle, as PyTorch writes its weights', advice: CONVERT }],
  [[0x80, 3], { what: 'is a Python pickle', advice: CONVERT }],
  [[0x80, 4], { what: 'is a Python pickle', advice: CONVERT }],
  [[0x80, 5], { what: 'is a Python pickle', advice: CONVERT }],
  [[0x89, 0x48, 0x44, 0x46], { what: 'is an HDF5 file, as Keras writes its weights', advice: CONVERT }],
  [[0x1f, 0x8b], { what: 'is compressed with gzip', advice: UNPACK }],
  [[0x28, 0xb5, 0x2f, 0xfd], { what: 'is compressed with zstd', advice: UNPACK }],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], { what: 'is compressed with xz', advice: UNPACK }],
  ['BZh', { what: 'is compressed with bzip2', advice: UNPACK }],
  [[0x37, 0x7a, 0xbc, 0xaf], { what: 'is a 7z archive', advice: UNPACK }],
  ['PAR1', { what: 'is a Parquet file', advice: 'it holds a dataset and no model' }],
  ['%PDF', { what: 'is a PDF document', advice: AGAIN }],
  [[0x89, 0x50, 0x4e, 0x47], { what: 'is a PNG image', advice: AGAIN }],
];

const LFS_POINTER: Kind = {
  what: 'is a Git LFS pointer, which stands for the file and is not it',
  advice: 'run `git lfs pull` in the folder, or download the file itself',
};
const WEB_PAGE: Kind = {
  what: 'is a web page, such as one that asks to sign in, and not the file itself',
  advice: 'download it again, signed in and with the licence accepted where there is one',
};

function code(letter: string): number {
  return letter.charCodeAt(0);
}

/** What these first bytes of a file say, or undefined where they say nothing. */
function kindOf(head: Uint8Array): Kind | undefined {
  if (head.byteLength === 0) return { what: 'is empty', advice: AGAIN };
  const text = new TextDecoder('latin1').decode(head);
  if (text.startsWith('version https://git-lfs')) return LFS_POINTER;
  if (/^(\xef\xbb\xbf)?\s*(<!--[^]*?-->\s*)?<(!doctype\s+html|html|head|body|\?xml)\b/i.test(text)) return WEB_PAGE;
  const mark = MARKS.find(([bytes]) =>
    typeof bytes === 'string' ? text.startsWith(bytes) : bytes.every((byte, i) => head[i] === byte),
  );
  if (mark) return mark[1];
  if (text.slice(257, 262) === 'ustar') return { what: 'is a tar archive', advice: UNPACK };
  if (head.every((byte) => byte === 0))
    return { what: 'holds nothing but zeros where it begins', advice: `its download broke off, so ${AGAIN}` };
  if (/^[^]{7}\0\s*\{\s*["}]/.test(text))
    return { what: 'is a safetensors file', advice: 'let its name end in .safetensors' };
  return undefined;
}

/** Text where a file of bytes should be: a server's refusal, or JSON. */
function textKind(head: Uint8Array): Kind | undefined {
  const text = new TextDecoder().decode(head);
  // eslint-disable-next-line no-control-regex -- control characters are what tells bytes from text
  if (/[\0-\x08\x0e-\x1f\ufffd](?!$)/.test(text)) return undefined;
  return { what: `is text, which begins ${quote(text.trim().slice(0, 40))}`, advice: AGAIN };
}

/**
 * The error for a file that isn't `expected` (`a safetensors file`), where its first bytes say what it is instead;
 * undefined where they don't. `isText` says that text is what was expected.
 */
export async function wrongFile(
  source: FileSource,
  file: string,
  expected: string,
  isText: boolean,
): Promise<GraftError | undefined> {
  const head = await source.read(file, 0, HEAD_BYTES);
  const kind = kindOf(head) ?? (isText ? undefined : textKind(head));
  return kind && new GraftError('bad-file', `${file} of ${source.name} ${kind.what}, not ${expected}: ${kind.advice}.`);
}
