/** What a self-check has found of an export that passed it, as the end of a sentence. */
import { formatShare } from '../../../core/format';
import type { Checked } from '../../../protocol/exports';

export function describeCheck({ answers }: Checked): string {
  if (!answers) return '; it was too large to ask both.';
  const { logitError, tolerance, sameAnswers, prompts } = answers;
  return (
    `: its logits are ${formatShare(logitError)} off, where ${formatShare(tolerance)} are allowed, and ` +
    `${sameAnswers} of ${prompts} answers are the same.`
  );
}
