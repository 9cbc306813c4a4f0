/** Python's `textwrap.wrap` of one line, with tabs and other white space left as they are. */
import { codePoints, NOT_PYTHON_SPACE, textLength } from '../text';
import { JinjaError } from '../errors';
import { spendParts, spendReading, spendSteps } from '../fuel';

export interface WrapOptions {
  readonly width: number;
  readonly breakLongWords: boolean;
  readonly breakOnHyphens: boolean;
}

// textwrap knows only ASCII's white space.
const SPACES = /([\t-\r ]+)/;
const NO_SPACE = new RegExp(NOT_PYTHON_SPACE);
const LETTER = '[\\p{L}\\p{Pc}\\p{M}]';
const WORD_CHARACTER = '[\\p{L}\\p{N}_!"\'&.,?]';

/** Where textwrap may break: at white space, after a hyphen between letters, around a dash. */
const CHUNKS = new RegExp(
  '([\\t-\\r ]+' +
    `|(?<=${WORD_CHARACTER})-{2,}(?=[\\p{L}\\p{N}_])` +
    `|[^\\t-\\r ](?:[^\\t-\\r ]*?(?:-(?:(?<=${LETTER}{2}-)|(?<=${LETTER}-${LETTER}-))(?=${LETTER}-?${LETTER})` +
    `|(?=[\\t-\\r ]|$)|(?<=${WORD_CHARACTER})(?=-{2,}[\\p{L}\\p{N}_]))))`,
  'u',
);

export function wrapText(line: string, options: WrapOptions): string[] {
  const { width } = options;
  // Where a dash may be broken is looked for from each of its hyphens on.
  for (const [dashes] of line.matchAll(/-{2,}/g)) {
    spendSteps();
    spendReading(dashes.length ** 2);
  }
  spendParts(line.length);
  if (width <= 0) throw new JinjaError(`invalid width ${width} (must be > 0)`);
  const chunks = line
    .split(options.breakOnHyphens ? CHUNKS : SPACES)
    .filter((chunk) => chunk !== '')
    .reverse();
  const lines: string[] = [];
  while (chunks.length > 0) {
    const current: string[] = [];
    let length = 0;
    if (lines.length > 0 && isBlank(chunks.at(-1)!)) chunks.pop();
    while (chunks.length > 0 && length + textLength(chunks.at(-1)!) <= width) {
      const chunk = chunks.pop()!;
      current.push(chunk);
      length += textLength(chunk);
    }
    if (chunks.length > 0 && textLength(chunks.at(-1)!) > width) breakLongWord(chunks, current, length, options);
    if (current.length > 0 && isBlank(current.at(-1)!)) current.pop();
    if (current.length > 0) lines.push(current.join(''));
  }
  return lines;
}

function isBlank(chunk: string): boolean {
  return !NO_SPACE.test(chunk);
}

/** A word longer than a line: cut where that is allowed, else a line of its own. */
function breakLongWord(chunks: string[], current: string[], length: number, options: WrapOptions): void {
  const space = Math.max(1, options.width - length);
  const chunk = codePoints(chunks.at(-1)!);
  if (!options.breakLongWords) {
    if (current.length === 0) current.push(chunks.pop()!);
    return;
  }
  let end = space;
  if (options.breakOnHyphens && chunk.length > space) {
    const hyphen = chunk.slice(0, space).lastIndexOf('-');
    if (hyphen > 0 && chunk.slice(0, hyphen).some((character) => character !== '-')) end = hyphen + 1;
  }
  current.push(chunk.slice(0, end).join(''));
  chunks[chunks.length - 1] = chunk.slice(end).join('');
}
