/** What a file really is, by its first bytes, where it isn't what its name says: one sentence with what to do. */
import { GraftError } from '../core/errors';
import { fileKind, isLfsPointer, isWebPage, KIND_BYTES, type FileUse } from '../core/file-kinds';
import { cut, quote } from '../core/format';
import type { FileSource } from '../core/store';

interface Kind {
  /** Follows the file's name: `is a zip archive`. */
  readonly what: string;
  /** Ends the sentence: `unpack it first`. */
  readonly advice: string;
}

const AGAIN = 'download it again';
const CONVERT = 'Graft reads safetensors and GGUF, so convert it, or pick a model that has them';

const ADVICE: Record<FileUse, string> = {
  table: 'it holds a dataset and no model',
  packed: 'unpack it first',
  weights: CONVERT,
  document: AGAIN,
};

/** Kinds that hold anything: where weights should be, it is weights. */
const WRITERS = new Map([
  ['is a zip archive', 'PyTorch'],
  ['is a Python pickle', 'PyTorch'],
  ['is an HDF5 file', 'Keras'],
]);

/** Kinds that Graft reads under their own names. */
const RENAME = new Map([
  ['is a GGUF file', 'let its name end in .gguf and name that file as the model'],
  ['is a safetensors file', 'let its name end in .safetensors'],
]);

const LFS_POINTER: Kind = {
  what: 'is a Git LFS pointer, which stands for the file and is not it',
  advice: 'run `git lfs pull` in the folder, or download the file itself',
};
const WEB_PAGE: Kind = {
  what: 'is a web page, such as one that asks to sign in, and not the file itself',
  advice: 'download it again, signed in and with the licence accepted where there is one',
};

/** What these first bytes of a file say, or undefined where they say nothing. */
function kindOf(head: Uint8Array): Kind | undefined {
  if (head.byteLength === 0) return { what: 'is empty', advice: AGAIN };
  const text = new TextDecoder().decode(head);
  if (isLfsPointer(text)) return LFS_POINTER;
  // Stores tell of a refusal in XML.
  if (isWebPage(text) || /^\s*<\?xml\b/.test(text)) return WEB_PAGE;
  const kind = fileKind(head);
  if (kind) {
    const writer = WRITERS.get(kind.what);
    if (writer !== undefined) return { what: `${kind.what}, as ${writer} writes its weights`, advice: CONVERT };
    return { what: kind.what, advice: RENAME.get(kind.what) ?? ADVICE[kind.use] };
  }
  if (head.every((byte) => byte === 0))
    return { what: 'holds nothing but zeros where it begins', advice: `its download broke off, so ${AGAIN}` };
  return undefined;
}

/** Text where a file of bytes should be: a server's refusal, or JSON. */
function textKind(head: Uint8Array): Kind | undefined {
  const text = new TextDecoder().decode(head);
  // eslint-disable-next-line no-control-regex -- control characters are what tells bytes from text
  if (/[\0-\x08\x0e-\x1f\ufffd](?!$)/.test(text)) return undefined;
  return { what: `is text, which begins ${quote(cut(text.trim(), 40))}`, advice: AGAIN };
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
  const head = await source.read(file, 0, KIND_BYTES);
  const kind = kindOf(head) ?? (isText ? undefined : textKind(head));
  return kind && new GraftError('bad-file', `${file} of ${source.name} ${kind.what}, not ${expected}: ${kind.advice}.`);
}
