/** What rows have in common that the user should know before training: each kind once, with its rows. */
import type { ChatTemplate } from '../core/text';
import { plural } from '../core/format';
import { listRows } from './left-out';

/** What is known of one row. */
export type Finding =
  | { readonly kind: 'unshown'; readonly what: string }
  | { readonly kind: 'cut' }
  | { readonly kind: 'context'; readonly asked: string; readonly trained: string };

/** Gathers findings row by row. */
export class Findings {
  private readonly unshown = new Map<string, number[]>();
  private readonly cut: number[] = [];
  private readonly context: number[] = [];
  private quoted: { asked: string; trained: string } | undefined;
  /** Conversations, and those of them that train a token that ends a turn. */
  private conversations = 0;
  private ending = 0;

  /** `endsTurn`: whether the row trains a token that stops generation. */
  add(row: number, findings: readonly Finding[], endsTurn: boolean): void {
    this.conversations++;
    if (endsTurn) this.ending++;
    for (const finding of findings) {
      if (finding.kind === 'unshown') this.addUnshown(finding.what, row);
      else {
        const rows = this[finding.kind];
        if (rows.at(-1) !== row) rows.push(row);
        if (finding.kind === 'context') this.quoted ??= { asked: finding.asked, trained: finding.trained };
      }
    }
  }

  /** The first row of each kind that advice could be found for. */
  get firstCut(): number | undefined {
    return this.cut[0];
  }

  get firstContext(): number | undefined {
    return this.context[0];
  }

  /** One sentence or two a kind. `advice` says what to set, for each kind. */
  notices(template: ChatTemplate, advice: { readonly cut: string; readonly context: string }): string[] {
    const name = `The chat template (${template.source})`;
    const notices = [...this.unshown].map(
      ([what, rows]) => `${name} doesn't show ${what} of ${listRows(rows)}: it is not trained on.`,
    );
    if (this.cut.length > 0) {
      notices.push(`${name} leaves out a part of the answer in ${listRows(this.cut)}. ${advice.cut}`);
    }
    if (this.context.length > 0) {
      const { asked, trained } = this.quoted!;
      notices.push(
        `${name} asks for the answers of ${listRows(this.context)} in another context than it trains them in: asked after ` +
          `${JSON.stringify(asked)}, trained after ${JSON.stringify(trained)}. ${advice.context}`,
      );
    }
    if (this.conversations > 0 && this.ending === 0) {
      notices.push(
        `None of ${plural(this.conversations, 'row')} trains a token that ends the turn, so the model would not stop after its ` +
          `answer: ${name.replace('The', 'the')} has none there. Give one that has with chat_template_path.`,
      );
    }
    return notices;
  }

  private addUnshown(what: string, row: number): void {
    const rows = this.unshown.get(what);
    if (!rows) this.unshown.set(what, [row]);
    else if (rows.at(-1) !== row) rows.push(row);
  }
}
