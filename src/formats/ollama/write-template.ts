/** Go templates as they are written: literal text, conditions, and what goes between messages. */

/** Stands for the system message in a piece of text. */
export const SYSTEM = '\ue000';

/** Text, or one of two texts by a condition of Go's. */
export type Piece = string | { readonly when: string; readonly then: Piece; readonly otherwise: Piece };

/** Text that is `then` where the condition holds; what both begin or end with is written once. */
export function choose(when: string, then: Piece, otherwise: Piece): Piece {
  return JSON.stringify(then) === JSON.stringify(otherwise) ? then : { when, then, otherwise };
}

/** A piece in the syntax of Go. */
export function writePiece(piece: Piece): string {
  if (typeof piece === 'string') return piece.split(SYSTEM).map(writeText).join('{{ $.System }}');
  const { when, then, otherwise } = piece;
  if (typeof then !== 'string' || typeof otherwise !== 'string') {
    return `{{ if ${when} }}${writePiece(then)}{{ else }}${writePiece(otherwise)}{{ end }}`;
  }
  const before = outsideTag(commonStart(then, otherwise));
  const after = afterTag(commonEnd(then.slice(before.length), otherwise.slice(before.length)));
  const inner = (text: string) => writePiece(text.slice(before.length, text.length - after.length));
  const [yes, no] = [inner(then), inner(otherwise)];
  const branches = yes === '' ? `if not (${when}) }}${no}` : `if ${when} }}${yes}${no === '' ? '' : `{{ else }}${no}`}`;
  return `${writePiece(before)}{{ ${branches}{{ end }}${writePiece(after)}`;
}

/** What both begin with, in whole characters. */
export function commonStart(a: string, b: string): string {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) length++;
  return a.slice(0, /[\ud800-\udbff]/.test(a[length - 1] ?? '') ? length - 1 : length);
}

/** What both end with, in whole characters. */
export function commonEnd(a: string, b: string): string {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a.at(-1 - length) === b.at(-1 - length)) length++;
  return a.slice(a.length - (/[\udc00-\udfff]/.test(a[a.length - length] ?? '') ? length - 1 : length));
}

/** The same without the tag that it begins at its end, and that which it ends at its beginning: tags are left whole. */
function outsideTag(text: string): string {
  return text.replace(/[<[][^<>[\]\s]*$/, '');
}

function afterTag(text: string): string {
  return text.replace(/^[^<>[\]\s]*[>\]]/, '');
}

/**
 * What would not come through as it stands: characters that Ollama leaves out of a Modelfile (`strconv.IsPrint`, but for
 * line ends and tabs), three quotes, which end a value, and braces that open an action.
 */
const ODD = /\{*(?:"{3,}|[^\p{L}\p{M}\p{N}\p{P}\p{S} \n\t]+)|\{(?=\{|$)/gu;

function writeText(text: string): string {
  return text.replace(ODD, (odd) => `{{ ${quoteGo(odd)} }}`);
}

function quoteGo(text: string): string {
  const escaped = text.replace(/["\\]/g, '\\$&').replace(/[^\x20-\x7e]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
  });
  return `"${escaped}"`;
}
