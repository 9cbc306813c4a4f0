/** The lines of a text, however they end, one at a time: a file may have more of them than a list can hold. */
export function* linesOf(text: string): Generator<string, undefined> {
  // Each is looked for again only once it is passed, so that all is read once.
  let newline = next(text, '\n', 0);
  let carriageReturn = next(text, '\r', 0);
  for (let from = 0; from < text.length;) {
    if (newline < from) newline = next(text, '\n', from);
    if (carriageReturn < from) carriageReturn = next(text, '\r', from);
    const end = Math.min(newline, carriageReturn);
    yield text.slice(from, end);
    from = newline === end + 1 && carriageReturn === end ? end + 2 : end + 1;
  }
  return undefined;
}

/** Offset of the next such character, or the text's length. */
function next(text: string, character: string, from: number): number {
  const found = text.indexOf(character, from);
  return found < 0 ? text.length : found;
}
