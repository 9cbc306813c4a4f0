/** One pass over given token ids: logits, loss and gradients, to hold against another implementation. */
import { hasAdapter, virtualTokens } from '../core/adapter';
import type { RunConfig } from '../core/config';
import { GraftError, throwIfCancelled } from '../core/errors';
import type { Engine, ForwardResult, ForwardViewOptions, ModelSetup } from '../engine';
import type { HubModel } from '../formats/model';
import { checkAdapter, type Adapter } from '../formats/peft';
import { loadSession, weightStorageKey, type ModelCache } from './steps/cached-weights';
import type { LoadingReport } from './steps/loading';
import { chooseWeightDType } from './steps/options';

export interface ForwardInput {
  readonly model: HubModel;
  readonly adapter?: { readonly name: string; readonly content: Adapter } | undefined;
  readonly engine: Engine;
  readonly cache?: ModelCache | undefined;
  /** Rows of one length: [B, T]. */
  readonly inputIds: readonly (readonly number[])[];
  /** As inputIds and not shifted; -100 where not counted. Without them there is no loss. */
  readonly labels?: readonly (readonly number[])[] | undefined;
  /** Of every parameter of the model, or of the adapter where there is one. Needs labels. */
  readonly gradients: boolean;
  readonly dtype: RunConfig['dtype'];
}

export interface ForwardOutput extends ForwardResult {
  /** [B, T, V]; T counts virtual tokens too, as PEFT does. */
  readonly shape: readonly [number, number, number];
}

/** @throws `bad-data` for rows that aren't of one length, ids outside the vocabulary, or gradients without labels. */
export async function forward(
  input: ForwardInput,
  report: LoadingReport,
  signal?: AbortSignal,
): Promise<ForwardOutput> {
  const { engine, model, adapter, inputIds } = input;
  const length = commonLength(input);
  if (adapter) checkAdapter(adapter.name, adapter.content, model.spec);
  const { setup, view } = forwardSetup(input, length);
  const { session } = await loadSession(
    { model, storage: weightStorageKey(setup), cache: input.cache },
    (weights, keep) => engine.createSession(setup, { forward: view }, weights, keep),
    report,
    signal,
  );
  try {
    if (adapter) await session.importParameters(adapter.content.tensors);
    throwIfCancelled(signal);
    const labels = input.labels ?? inputIds.map((row) => row.map(() => -100));
    const result = await session.views.forward.run({ inputIds, labels });
    return { ...result, shape: [inputIds.length, length + virtualTokens(setup), model.spec.vocabSize] };
  } finally {
    session.dispose();
  }
}

function forwardSetup(
  { model, adapter, inputIds, gradients, dtype }: ForwardInput,
  length: number,
): { setup: ModelSetup; view: ForwardViewOptions } {
  const { lora, prompt } = adapter?.content ?? {};
  const setup: ModelSetup = {
    spec: model.spec,
    // Gradients of the model's own parameters are those of f32.
    weightDType: gradients && !hasAdapter({ lora, prompt }) ? 'f32' : chooseWeightDType(dtype, model.weightDType),
    lora,
    prompt,
  };
  return { setup, view: { batchSize: inputIds.length, lengths: [length], gradients } };
}

function commonLength({ inputIds, labels, gradients }: ForwardInput): number {
  const length = inputIds[0]?.length ?? 0;
  if (length === 0)
    throw new GraftError('bad-data', 'input_ids holds no tokens: give at least one row with at least one id.');
  const odd = inputIds.findIndex((row) => row.length !== length);
  if (odd >= 0) {
    throw new GraftError(
      'bad-data',
      `Row ${odd + 1} of input_ids has ${inputIds[odd]!.length} tokens, but row 1 has ${length}: give rows of one length, ` +
        'or pad them on the right and set the labels there to -100.',
    );
  }
  if (labels && (labels.length !== inputIds.length || labels.some((row) => row.length !== length))) {
    throw new GraftError('bad-data', `labels must have the shape of input_ids, [${inputIds.length}, ${length}].`);
  }
  if (gradients && !labels)
    throw new GraftError('bad-data', 'Gradients need a loss, and a loss needs labels beside input_ids.');
  return length;
}
