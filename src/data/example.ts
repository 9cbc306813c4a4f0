/** What a row of a dataset becomes before a model's template and tokenizer see it. */
import type { SkippedRow } from '../core/events';
import type { TeacherTokens } from '../core/teacher';
import type { Conversation } from '../core/text';

export type DatasetFormat =
  'alpaca' | 'messages' | 'prompt-completion' | 'question-answer' | 'text' | 'tokens' | 'pairs';

/** Where an example is from, as `DatasetRow` has it. */
export interface RowPlace {
  readonly row: number;
  readonly line?: number;
  readonly where: string;
}

export type Example = RowPlace & ExampleContent;

type ExampleContent =
  | {
      readonly kind: 'conversation';
      readonly conversation: Conversation;
      /** Messages of the assistant that are context and not trained, by their place, ascending. */
      readonly untrained: readonly number[];
      /** Set where the row itself says so of one of them (`weight: 0`): others are the prompt's. */
      readonly isMarked?: true;
    }
  /** A text for language modelling: trained whole, without a chat template. */
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'tokens';
      readonly inputIds: readonly number[];
      /** As long as inputIds and not shifted; -100 where not trained. */
      readonly labels: readonly number[];
      /** For distillation. */
      readonly teacher?: TeacherTokens;
    }
  /** Two answers to one prompt, each with the prompt before it. */
  | {
      readonly kind: 'pair';
      readonly chosen: LabelledIds;
      readonly rejected: LabelledIds;
      /** Log-probabilities of both under the reference, the chosen one's first, where the row has them. */
      readonly referenceLogProbs?: readonly [number, number];
    };

/** Token ids, and labels as long, not shifted; -100 where not trained. */
export interface LabelledIds {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
}

export interface Dataset {
  readonly name: string;
  /** The format of its rows; of several, all their names, the commonest first: `messages and alpaca`. */
  readonly format: string;
  readonly examples: readonly Example[];
  /** Rows of the file, those that can't be used included. */
  readonly rowCount: number;
  /** Rows of the file that can't be used, ascending. */
  readonly skipped: readonly SkippedRow[];
  /** What the user should know of the file before training on it, a sentence each. */
  readonly notices: readonly string[];
}

/** Label of a position that is not trained on (PyTorch's `ignore_index`). */
export const IGNORED = -100;
