import type { SideBySide } from './sessions';

function argmax(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}

/** Greedy continuations of prompts decoded side by side. */
export async function greedy(
  session: SideBySide,
  prompts: number[][],
  count: number,
  vocab: number,
): Promise<number[][]> {
  const answers: number[][] = prompts.map(() => []);
  let logits = await session.prefill(prompts);
  for (let i = 0; ; i++) {
    const next = prompts.map((_, b) => argmax(logits.subarray(b * vocab, (b + 1) * vocab)));
    next.forEach((token, b) => answers[b]!.push(token));
    if (i === count - 1) return answers;
    logits = await session.next(next);
  }
}
