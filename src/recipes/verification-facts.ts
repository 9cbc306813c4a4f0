/** What a self-check compared and found, row by row, in the words of a model card. */
import { formatShare } from '../core/format';
import type { Verification } from './verify';

/** @param promptsFrom where the prompts come from, as `questions of the run's data` */
export function verificationFacts(found: Verification, promptsFrom = "of Graft's own"): Record<string, string> {
  const { weights, answers, findings } = found;
  const compared = [
    ...(weights ? ['every weight', 'how texts are read', 'the chat template'] : []),
    ...(answers ? ['logits', 'greedy answers'] : []),
  ];
  return {
    Compared: compared.join(', ') || 'the shape of the model',
    ...(weights && { Weights: describeWeights(weights) }),
    ...(answers && {
      Prompts: `${answers.prompts}, ${promptsFrom}`,
      Logits: `largest difference ${short(answers.largestDifference)}, mean ${short(answers.meanDifference)}`,
      'Size of the difference': `${formatShare(answers.logitError)} of the logits; stored so, ${formatShare(answers.tolerance)} are allowed`,
      'Likeliest token the same': `after ${formatShare(answers.agreement)} of the tokens`,
      'Greedy answers the same': `${answers.sameAnswers} of ${answers.prompts}`,
      ...(answers.adapterEffect !== undefined && {
        'What the adapter changes': `with and without it, logits are ${formatShare(answers.adapterEffect)} apart`,
      }),
    }),
    Result: findings.length === 0 ? 'passed' : `failed: ${findings.join(' ')}`,
  };
}

/** How far the weights are off: `0.56 % off at most (model.norm.weight)`. */
export function describeWeights({ error, name }: NonNullable<Verification['weights']>): string {
  return name === '' ? 'all the same' : `${formatShare(error)} off at most (${name})`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(2)));
}
