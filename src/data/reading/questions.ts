/** Questions and answers as people write them down: `Q:` and `A:` before each, and what follows up to the next. */
import { linesOf } from '../../core/lines';

/** `Q:`, `Q1:`, `Question 2:`, in Markdown too: `**Q:** …`, `### Q: …`, `- A: …`. */
const MARKER = /^[\s#>*_-]*(q(?:uestion)?|a(?:nswer)?)\s*\d{0,4}[\s*_]*[:：][*_]*\s*/i;

/** An item of a list in Markdown. */
const ITEM = /^\s*[*-]\s/;

/** Lines between two pairs that belong to neither: headings and rules of Markdown. */
const BETWEEN = /^\s*(#{1,6}\s|[-=*_]{3,}\s*$|$)/;

export interface WrittenQuestion {
  /** 1-based line of the file on which it begins. */
  readonly line: number;
  /** Absent where an answer stands without a question, or a question without an answer. */
  readonly question?: string;
  readonly answer?: string;
}

export interface WrittenQuestions {
  readonly rows: readonly WrittenQuestion[];
  /** Lines with something in them that belong to no question and no answer, ascending. */
  readonly left: readonly number[];
}

/** The questions and answers of a text, or undefined where it has no line with `Q:` before one with `A:`. */
export function readQuestions(text: string): WrittenQuestions | undefined {
  const rows: { line: number; question?: string; answer?: string }[] = [];
  const left: number[] = [];
  let kind: 'question' | 'answer' | undefined;
  /** Whether the answer that is being read began as an item of a list. */
  let isItem = false;
  let open: string[] = [];
  let line = 0;

  /** Ends what is being read before `line`; what was written between two pairs isn't part of an answer. */
  const close = (beforeQuestion: boolean) => {
    if (kind === undefined) {
      open.forEach((words, i) => words.trim() !== '' && left.push(line - open.length + i));
      return;
    }
    let end = open.length;
    if (beforeQuestion && kind === 'answer') {
      while (end > 1 && BETWEEN.test(open[end - 1]!)) end--;
      // Without a blank line before it, `# …` is as well a comment in an answer that is code.
      while (end < open.length && open[end]!.trim() !== '') end++;
      open.slice(end).forEach((words, i) => words.trim() !== '' && left.push(line - open.length + end + i));
    }
    rows.at(-1)![kind] = open.slice(0, end).join('\n').trim();
  };

  for (const words of linesOf(text)) {
    line++;
    const marker = MARKER.exec(words);
    const next = marker && (/^q/i.test(marker[1]!) ? 'question' : 'answer');
    // `- a: …` in an answer that is a list, or has one, is an item of it.
    const isListed = ITEM.test(words);
    if (!marker || !next || (next === 'answer' && kind === 'answer' && isListed && !isItem)) {
      open.push(words);
      continue;
    }
    isItem = isListed;
    close(next === 'question');
    const isAnswered = next === 'answer' && kind === 'question';
    if (!isAnswered) rows.push({ line });
    kind = next;
    open = [words.slice(marker[0].length)];
  }
  line++;
  close(true);
  const isList = rows.some(({ question, answer }) => question !== undefined && answer !== undefined);
  return isList && rows[0]!.question !== undefined ? { rows, left } : undefined;
}
