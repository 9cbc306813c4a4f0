/** How two models answer the same prompts: their logits on them, and what they say. */
import { GraftError } from '../../core/errors';
import type { Adapter } from '../../formats/peft';
import type { Engine, ModelSetup } from '../../engine';
import type { HubModel } from '../../formats/model';
import { loadSession, weightStorageKey } from './cached-weights';
import type { LoadingReport } from './loading';
import { TextGenerator } from './text-generator';

/** Tokens of a prompt whose logits are compared, and of an answer. */
const MOST_PROMPT = 64;
const ANSWER = 32;
const GREEDY = { maxNewTokens: ANSWER, temperature: 0, topP: 1, topK: 0, seed: 0, stop: [] };

export interface Answers {
  readonly logits: readonly Float32Array[];
  readonly vocabSize: number;
  /** Greedy: ids by prompt; none where logits alone were asked for. */
  readonly answers: readonly (readonly number[])[];
}

/**
 * What a model, with its adapter where there is one, makes of token ids.
 * @param context tokens of a prompt and its answer at most
 * @param logitsAlone leaves the answers out
 */
export async function answersOf(
  model: HubModel,
  adapter: Adapter | undefined,
  prompts: readonly (readonly number[])[],
  context: number,
  engine: Engine,
  report: LoadingReport,
  signal?: AbortSignal,
  logitsAlone = false,
): Promise<Answers> {
  const rows = prompts.map((ids) => ids.slice(0, Math.min(MOST_PROMPT, Math.ceil(context / 2))));
  const length = Math.max(...rows.map((row) => row.length));
  const maxLength = Math.min(length + ANSWER, context);
  const setup: ModelSetup = { spec: model.spec, weightDType: model.weightDType, lora: adapter?.lora };
  const views = {
    forward: { batchSize: rows.length, lengths: [length], gradients: false },
    decode: { batchSize: 1, maxLength },
  };
  const { session } = await loadSession(
    { model, storage: weightStorageKey(setup) },
    (weights, keep) => engine.createSession(setup, views, weights, keep),
    report,
    signal,
  );
  try {
    if (adapter) await session.importParameters(adapter.tensors);
    const labels = rows.map((row) => row.map(() => -100));
    const { logits } = await session.views.forward.run({ inputIds: rows, labels });
    const { vocabSize } = model.spec;
    const generator = new TextGenerator(model, session.views.decode, views.decode);
    const options = { ...GREEDY, useAdapter: adapter !== undefined };
    const answers: (readonly number[])[] = [];
    for (const ids of logitsAlone ? [] : rows)
      answers.push((await generator.generate({ kind: 'tokens', ids }, options, undefined, signal)).ids);
    const width = length * vocabSize;
    return {
      logits: rows.map((row, i) => logits.slice(i * width, i * width + row.length * vocabSize)),
      vocabSize,
      answers,
    };
  } finally {
    session.dispose();
  }
}

export interface AnswerComparison {
  /** Of all logits, the size of the difference over their own. */
  readonly logitError: number;
  /** Between two logits: the largest difference, and the mean of all. */
  readonly largestDifference: number;
  readonly meanDifference: number;
  /** Mean over tokens of KL(model ‖ file), in nats. */
  readonly divergence: number;
  /** Part of the tokens after which both hold the same one for the likeliest. */
  readonly agreement: number;
  /** Prompts whose greedy answers are the same. */
  readonly sameAnswers: number;
  readonly prompts: number;
}

export function compareAnswers(model: Answers, exported: Answers): AnswerComparison {
  if (model.vocabSize !== exported.vocabSize)
    throw new GraftError('bad-file', 'The file knows other tokens than the model.');
  const { vocabSize } = model;
  let [difference, size, divergence, agreed, tokens] = [0, 0, 0, 0, 0];
  let [largest, sum] = [0, 0];
  model.logits.forEach((own, row) => {
    const other = exported.logits[row]!;
    for (let from = 0; from < own.length; from += vocabSize) {
      const [p, q] = [own, other].map((logits) => logits.subarray(from, from + vocabSize));
      p!.forEach((value, i) => {
        const apart = Math.abs(value - q![i]!);
        // What is no number is larger than any: NaN would pass for no difference.
        largest = apart <= largest ? largest : apart;
        sum += apart;
        difference += apart ** 2;
        size += value ** 2;
      });
      divergence += kl(p!, q!);
      agreed += likeliest(p!) === likeliest(q!) ? 1 : 0;
      tokens++;
    }
  });
  const same = model.answers.filter((ids, i) => ids.join() === exported.answers[i]!.join());
  return {
    logitError: Math.sqrt(difference / size),
    largestDifference: largest,
    meanDifference: sum / (tokens * vocabSize),
    divergence: divergence / tokens,
    agreement: agreed / tokens,
    sameAnswers: same.length,
    prompts: model.answers.length,
  };
}

function kl(p: Float32Array, q: Float32Array): number {
  const [logP, logQ] = [p, q].map(logNormalizer);
  let sum = 0;
  p.forEach((value, i) => {
    const own = value - logP!;
    sum += Math.exp(own) * (own - (q[i]! - logQ!));
  });
  return sum;
}

function logNormalizer(logits: Float32Array): number {
  const most = logits.reduce((largest, value) => Math.max(largest, value), -Infinity);
  return most + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}
