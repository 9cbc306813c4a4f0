/** What a file is by its first bytes, where it isn't what its name says: datasets and models are told apart by one list. */

/** What a kind of file is for, which decides on what to do about it. */
export type FileUse = 'table' | 'packed' | 'weights' | 'document';

export interface FileKind {
  /** Follows the file's name: `is a Parquet file`. */
  readonly what: string;
  readonly use: FileUse;
}

/** Bytes in which the signs of a kind lie. */
export const KIND_BYTES = 4096;

/** Signatures at the start of a file, from the specifications of the formats. */
const SIGNATURES: readonly (readonly [bytes: string, what: string, use: FileUse])[] = [
  ['PAR1', 'is a Parquet file', 'table'],
  ['ARROW1', 'is an Arrow (Feather) file', 'table'],
  ['FEA1', 'is a Feather file', 'table'],
  ['\xff\xff\xff\xff', 'is an Arrow stream', 'table'],
  ['ORC', 'is an ORC file', 'table'],
  ['Obj\x01', 'is an Avro file', 'table'],
  ['SQLite format 3\0', 'is an SQLite database', 'table'],
  ['\x89HDF\r\n', 'is an HDF5 file', 'table'],
  ['\x93NUMPY', 'is a NumPy array', 'table'],
  ['\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1', 'is an old Office file (xls, doc)', 'table'],
  ['\x80\x02', 'is a Python pickle', 'table'],
  ['\x80\x03', 'is a Python pickle', 'table'],
  ['\x80\x04', 'is a Python pickle', 'table'],
  ['\x80\x05', 'is a Python pickle', 'table'],
  ['\x1f\x8b', 'is compressed with gzip', 'packed'],
  ['\x28\xb5\x2f\xfd', 'is compressed with zstd', 'packed'],
  ['BZh', 'is compressed with bzip2', 'packed'],
  ['\xfd7zXZ\0', 'is compressed with xz', 'packed'],
  ['\x04\x22\x4d\x18', 'is compressed with lz4', 'packed'],
  ['7z\xbc\xaf\x27\x1c', 'is a 7z archive', 'packed'],
  ['Rar!\x1a\x07', 'is a RAR archive', 'packed'],
  ['GGUF', 'is a GGUF file', 'weights'],
  ['tjgg', 'is a GGML file of before GGUF', 'weights'],
  ['lmgg', 'is a GGML file of before GGUF', 'weights'],
  ['%PDF-', 'is a PDF', 'document'],
  ['\x89PNG\r\n', 'is a PNG image', 'document'],
  ['\xff\xd8\xff', 'is a JPEG image', 'document'],
  ['GIF8', 'is a GIF image', 'document'],
  ['{\\rtf', 'is an RTF document', 'document'],
];

/** The kind that the first bytes of a file name, or undefined where they name none. */
export function fileKind(bytes: Uint8Array): FileKind | undefined {
  const head = latin1(bytes);
  const known = SIGNATURES.find(([signature]) => head.startsWith(signature));
  if (known) return { what: known[1], use: known[2] };
  if (head.startsWith('PK\x03\x04') || head.startsWith('PK\x05\x06')) return zipKind(head);
  if (head.startsWith('ustar', 257)) return { what: 'is a tar archive', use: 'packed' };
  // A header's length in 64 bits, then the header: a JSON object.
  if (/^[^]{4}\0{4}\s*\{\s*["}]/.test(head)) return { what: 'is a safetensors file', use: 'weights' };
  return undefined;
}

function zipKind(head: string): FileKind {
  if (/\/data\.pkl|\/byteorder/.test(head)) return { what: 'is a PyTorch checkpoint', use: 'weights' };
  if (head.includes('xl/')) return { what: 'is an Excel workbook (xlsx)', use: 'table' };
  if (head.includes('word/')) return { what: 'is a Word document (docx)', use: 'document' };
  if (head.includes('[Content_Types].xml')) return { what: 'is an Office file (xlsx, docx)', use: 'table' };
  if (/^PK.{28}[^]*\.npy/.test(head)) return { what: 'is a NumPy archive (npz)', use: 'table' };
  return { what: 'is a zip archive', use: 'packed' };
}

/** The file of a repository whose content was not downloaded along with it. */
export function isLfsPointer(text: string): boolean {
  return text.startsWith('version https://git-lfs');
}

/** Whether a text is what a server shows a visitor instead of a file. */
export function isWebPage(text: string): boolean {
  return /^\s*(<!--[^]*?-->\s*)?<(!doctype\s+html|html|head|body)\b/i.test(text);
}

/** Bytes as characters of the same numbers, as many as tell a kind. */
export function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, KIND_BYTES));
}
