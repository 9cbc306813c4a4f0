/** What rows have in common that the user should know before training: each kind once, with its rows. */
import { plural } from '../core/format';
import type { ChatTemplate } from '../core/text';
import { listRows } from './left-out';

/** What is known of one row; `open` and the others as in `AnswerFinding`. */
export type Finding =
  | { readonly kind: 'unshown'; readonly what: string }
  | { readonly kind: 'cut' | 'open' }
  | { readonly kind: 'context'; readonly asked: string; readonly trained: string };

/** What advice is looked for. */
export type Advisable = 'cut' | 'context' | 'open';

/** What is trained of a row, once it is cut to `max_length`. */
export interface TrainedRow {
  readonly row: number;
  /** Whether a token is trained that stops generation. */
  readonly endsTurn: boolean;
  readonly isCut: boolean;
}

/** To what rows are cut, and what to do where that is too short, in a sentence. */
export interface Limit {
  readonly maxLength: number;
  readonly remedy: string;
}

/** Gathers findings row by row. */
export class Findings {
  private readonly unshown = new Map<string, number[]>();
  private readonly found: Record<Advisable, number[]> = { cut: [], context: [], open: [] };
  private quoted: { asked: string; trained: string } | undefined;
  /** Conversations, those of them that train a token that ends a turn, and those that may lack it by their cut alone. */
  private conversations = 0;
  private ending = 0;
  private cutOff = 0;

  add({ row, endsTurn, isCut }: TrainedRow, findings: readonly Finding[]): void {
    this.conversations++;
    if (endsTurn) this.ending++;
    else if (isCut && !findings.some(({ kind }) => kind === 'open')) this.cutOff++;
    for (const finding of findings) {
      if (finding.kind === 'unshown') addTo(this.unshown, finding.what, row);
      else {
        const rows = this.found[finding.kind];
        if (rows.at(-1) !== row) rows.push(row);
        if (finding.kind === 'context') this.quoted ??= { asked: finding.asked, trained: finding.trained };
      }
    }
  }

  /** The rows that have a kind of finding, in their order. */
  rowsOf(kind: Advisable): readonly number[] {
    return this.found[kind];
  }

  /** One sentence or two a kind. `advice` says what to set, for each kind. */
  notices(template: ChatTemplate, limit: Limit, advice: Readonly<Record<Advisable, string>>): string[] {
    const name = `The chat template (${template.source})`;
    const { cut, context, open } = this.found;
    const notices = [...this.unshown].map(
      ([what, rows]) => `${name} doesn't show ${what} of ${listRows(rows)}: it is not trained on.`,
    );
    if (cut.length > 0) {
      notices.push(`${name} leaves out or changes a part of the answer in ${listRows(cut)}. ${advice.cut}`);
    }
    if (context.length > 0) {
      const { asked, trained } = this.quoted!;
      notices.push(
        `${name} asks for the answers of ${listRows(context)} in another context than it trains them in: asked after ` +
          `${JSON.stringify(asked)}, trained after ${JSON.stringify(trained)}. ${advice.context}`,
      );
    }
    const nothingEnds = this.conversations > 0 && this.ending === 0;
    if (nothingEnds) notices.push(this.describeNoEnd(name, limit, advice.open));
    else if (open.length > 0) {
      notices.push(
        `${name} puts no token that ends the turn after an answer in ${listRows(open)}, so the model doesn't learn to stop ` +
          `there. ${advice.open}`,
      );
    }
    return notices;
  }

  private describeNoEnd(name: string, { maxLength, remedy }: Limit, advice: string): string {
    const none =
      (this.conversations === 1
        ? 'The only row trains no token'
        : `None of ${plural(this.conversations, 'row')} trains a token`) +
      ' that ends the turn, so the model would not stop after its answer: ';
    if (this.cutOff === this.conversations) {
      return `${none}max_length ${maxLength} cuts every answer before it. ${remedy}`;
    }
    return `${none}${name.replace('The', 'the')} has none there. ${advice}`;
  }
}

function addTo(lists: Map<string, number[]>, name: string, row: number): void {
  const rows = lists.get(name);
  if (!rows) lists.set(name, [row]);
  else if (rows.at(-1) !== row) rows.push(row);
}
