/** What a file is that isn't a dataset, told from its content: by its first bytes, or by how its text begins. */

/** A kind of file, as the rest of a sentence that begins with the file's name, and what to do about it. */
interface Kind {
  readonly what: string;
  readonly advice: string;
}

const CONVERT = "Convert it to JSONL, one row a line (pandas: df.to_json('rows.jsonl', orient='records', lines=True)).";
const UNPACK = 'Unpack it first, and give the JSON or JSONL file in it.';
const NO_DATASET = 'Give a JSON or JSONL file with one row of text each.';

/** Signatures at the start of a file, from the specifications of the formats. */
const SIGNATURES: readonly (Kind & { readonly bytes: string })[] = [
  { bytes: 'PAR1', what: 'is a Parquet file', advice: CONVERT },
  { bytes: 'ARROW1', what: 'is an Arrow (Feather) file', advice: CONVERT },
  { bytes: 'FEA1', what: 'is a Feather file', advice: CONVERT },
  { bytes: '\xff\xff\xff\xff', what: 'is an Arrow stream', advice: CONVERT },
  { bytes: 'ORC', what: 'is an ORC file', advice: CONVERT },
  { bytes: 'Obj\x01', what: 'is an Avro file', advice: CONVERT },
  { bytes: 'SQLite format 3\0', what: 'is an SQLite database', advice: CONVERT },
  { bytes: '\x89HDF\r\n', what: 'is an HDF5 file', advice: CONVERT },
  { bytes: '\x93NUMPY', what: 'is a NumPy array', advice: CONVERT },
  { bytes: '\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1', what: 'is an old Office file (xls, doc)', advice: CONVERT },
  { bytes: '\x28\xb5\x2f\xfd', what: 'is compressed with zstd', advice: UNPACK },
  { bytes: 'BZh', what: 'is compressed with bzip2', advice: UNPACK },
  { bytes: '\xfd7zXZ\0', what: 'is compressed with xz', advice: UNPACK },
  { bytes: '\x04\x22\x4d\x18', what: 'is compressed with lz4', advice: UNPACK },
  { bytes: '7z\xbc\xaf\x27\x1c', what: 'is a 7z archive', advice: UNPACK },
  { bytes: 'Rar!\x1a\x07', what: 'is a RAR archive', advice: UNPACK },
  { bytes: '%PDF-', what: 'is a PDF', advice: NO_DATASET },
  { bytes: '\x89PNG\r\n', what: 'is a PNG image', advice: NO_DATASET },
  { bytes: '\xff\xd8\xff', what: 'is a JPEG image', advice: NO_DATASET },
  { bytes: 'GIF8', what: 'is a GIF image', advice: NO_DATASET },
  { bytes: 'GGUF', what: 'is a GGUF model', advice: NO_DATASET },
  { bytes: '{\\rtf', what: 'is an RTF document', advice: NO_DATASET },
];

/** Bytes in which the signs of a kind lie. */
const HEAD = 4096;

/** The kind of a file that isn't text, or undefined where its first bytes name none. */
export function binaryKind(bytes: Uint8Array): Kind | undefined {
  const head = latin1(bytes.subarray(0, HEAD));
  const known = SIGNATURES.find((signature) => head.startsWith(signature.bytes));
  if (known) return known;
  if (head.startsWith('PK\x03\x04') || head.startsWith('PK\x05\x06')) return zipKind(head);
  if (head.startsWith('ustar', 257)) return { what: 'is a tar archive', advice: UNPACK };
  if (bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5) return { what: 'is a Python pickle', advice: CONVERT };
  // A header's length in 64 bits, then the header: a JSON object.
  if (/^[^]{3}[^]\0{4}\s*\{/.test(head) && head.includes('"dtype"')) {
    return { what: 'is a safetensors model', advice: NO_DATASET };
  }
  if (/^(\xff\xfe\0\0|\0\0\xfe\xff)/.test(head)) return { what: 'is text in UTF-32', advice: 'Save it as UTF-8.' };
  if (/^(\s\0)*[[{"]\0[^\0]\0|^(\0\s)*\0[[{"]\0[^\0]/.test(head)) {
    return { what: 'is text in UTF-16 without a byte order mark', advice: 'Save it as UTF-8.' };
  }
  return head.includes('\0') ? { what: 'is a binary file of an unknown kind', advice: NO_DATASET } : undefined;
}

function zipKind(head: string): Kind {
  if (/\/data\.pkl|\/byteorder/.test(head)) return { what: 'is a PyTorch checkpoint', advice: NO_DATASET };
  if (head.includes('xl/')) return { what: 'is an Excel workbook (xlsx)', advice: CONVERT };
  if (head.includes('word/')) return { what: 'is a Word document (docx)', advice: NO_DATASET };
  if (head.includes('[Content_Types].xml')) return { what: 'is an Office file (xlsx, docx)', advice: CONVERT };
  if (/^PK.{28}[^]*\.npy/.test(head)) return { what: 'is a NumPy archive (npz)', advice: CONVERT };
  return { what: 'is a zip archive', advice: UNPACK };
}

/** The kind of a text in which no JSON was found. */
export function textKind(text: string): Kind {
  const head = text.slice(0, HEAD).trimStart();
  const lines = head.split(/\r\n|\n|\r/).filter((line) => line.trim() !== '');
  if (/^<(!doctype\s+html|html|head|body)\b/i.test(head)) {
    return {
      what: 'is a web page (perhaps a page that asks to sign in), not the file itself',
      advice: 'Download the file again.',
    };
  }
  if (head.startsWith('<')) return { what: 'is XML', advice: CONVERT };
  if (head.startsWith('#') || head.startsWith('```')) return { what: 'is Markdown or a script', advice: NO_DATASET };
  if (separates('\t', lines)) return { what: 'is a table (TSV)', advice: CONVERT };
  const yaml = /^(---\s*$|%YAML|-\s+["']?[\w ]+["']?\s*:|["']?[\w-]+["']?:(\s|$))/;
  if (yaml.test(lines[0] ?? '')) return { what: 'is YAML', advice: 'Convert it to JSONL, one row a line.' };
  if (separates(',', lines) || separates(';', lines)) return { what: 'is a table (CSV)', advice: CONVERT };
  return { what: 'is text, but not JSON', advice: 'Give a JSON array, or JSONL with one object a line.' };
}

/** The file of a repository whose content was not downloaded along with it. */
export function isLfsPointer(text: string): boolean {
  return text.startsWith('version https://git-lfs.github.com/spec/');
}

/** Whether the first line looks like the names of a table's columns, and the next has as many. */
function separates(separator: string, [names, row]: readonly string[]): boolean {
  const columns = (names ?? '').split(separator);
  if (columns.length < 2 || !columns.every((name) => /^\s*"?[\w .\-/()]{1,60}"?\s*$/.test(name))) return false;
  return row === undefined || row.split(separator).length >= columns.length || row.includes('"');
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
