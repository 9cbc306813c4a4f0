/** One row after another to examples, and what there is to say of all of them. */
import type { Conversation } from '../../core/text';
import { IGNORED, type DatasetFormat, type Example } from '../example';
import type { DatasetRow } from '../rows';
import { askedTexts, checkOtherPrompts, readConversation, unplacedFields } from './conversations';
import { fieldOf, LeftOut, textOf, unusable, type RowValue } from './fields';
import { describeMisfit, RowPlanner, withPlainNames, type RowPlan } from './formats';
import { checkRefusal, mayRefuse, MEDIA_FIELDS } from './refusals';
import { readTokenPrompt, readTokenRow } from './tokens';

/** Reads rows as they are trained on. */
export class ExampleReader {
  private readonly planner = new RowPlanner('train');
  private readonly leftOut = new LeftOut();
  private readonly counts = new Map<DatasetFormat, number>();
  private rowCount = 0;

  /** @throws `bad-data` with the reason alone, where the row can't be used. */
  read({ value: written, ...place }: DatasetRow): Example {
    const value = withPlainNames(written);
    const plan = planOf(this.planner, value);
    const ignored = plan.checked.filter((name) => !checkRefusal(value, name));
    const example = { ...place, ...this.readBody(value, plan) };
    this.rowCount++;
    ignored.forEach((name) => this.leftOut.addUnknown(name));
    plan.unknown.forEach((name) => this.leftOut.addUnknown(name));
    const others = [...plan.others, ...unplacedFields(value, plan)];
    others.forEach((name) => this.leftOut.addOther(name, plan.readBy));
    const { format } = plan.rule;
    this.counts.set(format, (this.counts.get(format) ?? 0) + 1);
    return example;
  }

  /** Formats of the rows so far, the commonest first. */
  formats(): DatasetFormat[] {
    return [...this.counts].sort((a, b) => b[1] - a[1]).map(([format]) => format);
  }

  notices(): string[] {
    return this.leftOut.notices(this.rowCount);
  }

  private readBody(value: RowValue, plan: RowPlan) {
    const { kind, main } = plan.rule;
    if (kind === 'tokens') {
      const tokens = readTokenRow(value, '', true);
      if (tokens.labels.every((label) => label !== IGNORED) && fieldOf(value, 'labels') === undefined) {
        this.leftOut.remark('Rows of input_ids without labels are trained whole, prompts included.');
      }
      return { kind, ...tokens } as const;
    }
    if (kind === 'text') {
      const text = textOf(value, main) ?? '';
      if (text.trim() === '') throw unusable('has an empty text');
      checkOtherPrompts(value, plan, () => [text]);
      return { kind, text } as const;
    }
    const { conversation, untrained, isMarked } = readConversation(value, plan, 'train', this.leftOut);
    checkOtherPrompts(value, plan, () => askedTexts(value, plan, conversation));
    return { kind: 'conversation', conversation, untrained, ...(isMarked && { isMarked }) } as const;
  }
}

/** What a row asks. */
export type AskedRow =
  | { readonly kind: 'tokens'; readonly inputIds: readonly number[] }
  | { readonly kind: 'text'; readonly text: string }
  /** `promptText` is what is asked, where the row has it as a text and nothing goes before it. */
  | { readonly kind: 'conversation'; readonly conversation: Conversation; readonly promptText: string | undefined };

/** Reads rows as prompts: the conversation up to its last answer, which may be missing. */
export class PromptReader {
  private readonly planner = new RowPlanner('ask');

  /** @throws `bad-data` with the reason alone, where the row has no prompt. */
  read(row: RowValue): AskedRow {
    const value = withPlainNames(row);
    const plan = planOf(this.planner, value);
    const leftOut = new LeftOut();
    MEDIA_FIELDS.forEach((name) => checkRefusal(value, name));
    const { kind, main } = plan.rule;
    if (kind === 'tokens') {
      return { kind, inputIds: readTokenPrompt(value) };
    }
    if (kind === 'text') {
      const text = textOf(value, main) ?? '';
      if (text === '') throw unusable('has an empty text');
      return { kind, text };
    }
    const { conversation, promptText } = readConversation(value, plan, 'ask', leftOut);
    checkOtherPrompts(value, plan, () => askedTexts(value, plan, conversation));
    return { kind: 'conversation', conversation, promptText };
  }
}

/** Reads rows as a chat template gets them: whole, with an answer or without, and as the file has them. */
export class ConversationReader {
  private readonly planner = new RowPlanner('render');

  /** @throws `bad-data` with the reason alone, where the row has no conversation. */
  read(row: RowValue): Conversation {
    const value = withPlainNames(row);
    const plan = planOf(this.planner, value);
    const { kind, main } = plan.rule;
    if (kind === 'tokens' || kind === 'text') {
      throw unusable(`has ${main} and no conversation: no chat template is used for it`);
    }
    return readConversation(value, plan, 'render', new LeftOut()).conversation;
  }
}

/** How a row is read. A row that is refused for one of its fields is, whether it fits a format or not. */
function planOf(planner: RowPlanner, value: RowValue): RowPlan {
  const plan = planner.plan(value);
  if (plan) return plan;
  Object.keys(value)
    .filter(mayRefuse)
    .forEach((name) => checkRefusal(value, name));
  throw unusable(describeMisfit(value));
}
