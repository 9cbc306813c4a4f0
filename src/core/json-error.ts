/** Where JSON breaks: `JSON.parse` says so in words that differ by browser, or not at all. */

const TOKEN =
  /("(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:])/uy;
const SPACE = /[ \t\n\r]*/y;

/** Offset of the first character that can't belong to a JSON text; the text's length where it ends too early or is fine. */
export function jsonErrorOffset(text: string): number {
  /** What may come next: a value, a value or `]`, a key, a key or `}`, a colon, a comma or the closing bracket, the end. */
  let state: 'value' | 'value]' | 'key' | 'key}' | ':' | ',' | 'end' = 'value';
  const open: string[] = [];
  let offset = 0;
  const afterValue = () => (open.length > 0 ? ',' : 'end');
  for (;;) {
    SPACE.lastIndex = offset;
    SPACE.exec(text);
    const start = SPACE.lastIndex;
    TOKEN.lastIndex = start;
    const token = TOKEN.exec(text)?.[1];
    if (token === undefined) return start;
    offset = TOKEN.lastIndex;
    const inObject = open.at(-1) === '{';
    const isKey = token.startsWith('"') && (state === 'key' || state === 'key}');
    if (isKey) state = ':';
    else if (token === ':' && state === ':') state = 'value';
    else if (token === ',' && state === ',') state = inObject ? 'key' : 'value';
    else if (closes(token, state, inObject)) {
      open.pop();
      state = afterValue();
    } else if ((state === 'value' || state === 'value]') && !/^[\]},:]$/.test(token)) {
      if (token === '[' || token === '{') open.push(token);
      state = token === '[' ? 'value]' : token === '{' ? 'key}' : afterValue();
    } else return start;
  }
}

function closes(token: string, state: string, inObject: boolean): boolean {
  if (token === '}') return inObject && (state === ',' || state === 'key}');
  return token === ']' && !inObject && (state === ',' || state === 'value]');
}
