/** Reading an exported model back, and holding it against the one that it was made from. */
import { formatShare } from '../core/format';
import type { DecoderSpec } from '../core/spec';
import type { FileSource } from '../core/store';
import type { Engine } from '../engine';
import { compareSpecs } from '../formats/compare-specs';
import type { HubModel } from '../formats/model';
import { readAdapter, type Adapter } from '../formats/peft';
import { withTemplateOf } from '../formats/saved-template';
import { answersOf, compareAnswers, type AnswerComparison } from './steps/compare-answers';
import { compareText } from './steps/compare-text';
import { compareWeights, type WeightsComparison } from './steps/compare-weights';
import type { LoadingReport } from './steps/loading';
import { openMerged } from './steps/merged-weights';
import { promptIds, type Prompt } from './steps/prompt-ids';

export interface VerifyInput {
  readonly model: HubModel;
  readonly adapter?: FileSource | undefined;
  readonly engine: Engine;
  /** The exported model, opened as any other. */
  readonly exported: HubModel;
  /** How its tensors are stored, by Hub name, where that isn't their dtype. */
  readonly types?: ReadonlyMap<string, string> | undefined;
  /** What both are asked; by default a few of Graft's own. */
  readonly prompts?: readonly Prompt[] | undefined;
}

export interface Verification {
  /** A sentence for each difference that makes the file another model; without any, it is good. */
  readonly findings: readonly string[];
  /** What is otherwise, but as the format has it. */
  readonly notices: readonly string[];
  readonly weights?: WeightsComparison['worst'];
  readonly answers?: AnswerComparison;
}

/**
 * Most of the size of logits that they may be off, by how the least exact of the matrices is stored: several times what
 * small models show, and a fraction of what another model gives.
 */
const LOGIT_LIMITS: Readonly<Record<string, number>> = {
  F32: 1e-4,
  F16: 0.02,
  BF16: 0.1,
  Q8_0: 0.1,
  Q6_K: 0.15,
  Q5_K: 0.25,
  Q5_1: 0.25,
  Q5_0: 0.3,
  Q4_K: 0.4,
  Q4_0: 0.5,
};
const LARGEST_LIMIT = 0.5;

/** Compares shape, weights, texts and answers. What can't be asked any more, as the shapes differ, is left out. */
export async function verifyExport(
  input: VerifyInput,
  report: LoadingReport,
  signal?: AbortSignal,
): Promise<Verification> {
  const { model, exported, engine, types } = input;
  const merged = await openMerged(input);
  const { fields, windows } = compareSpecs(merged.spec, exported.spec);
  const text = compareText(merged.asked, exported);
  const notices = [
    ...(windows ? ['Layers see other windows in the file: answers differ once a text is longer.'] : []),
    ...text.notices,
  ];
  const findings = [...fields.map((field) => `${field} is another in the file than in the model.`), ...text.findings];
  if (fields.some((field) => SIZES.has(field))) return { findings, notices };
  const typeOf = (name: string) => types?.get(name) ?? exported.dtypes.get(name)?.toUpperCase();
  const weights = await compareWeights(
    merged.weights(report, signal),
    exported,
    typeOf,
    queryFactor(merged.spec, exported.spec),
  );
  findings.push(...weights.findings);
  const prompts = (input.prompts ?? ownPrompts(merged.asked)).map((prompt) => [...promptIds(merged.asked, prompt)]);
  const adapter = input.adapter && (await readAdapter(input.adapter));
  const context = windows ? commonWindow(merged.spec, exported.spec) : merged.spec.maxPositions;
  const own = await answersOf(merged.asked, adapter, prompts, context, engine, report, signal);
  const other = await answersOf(
    { ...exported, tokenizer: merged.asked.tokenizer },
    undefined,
    prompts,
    context,
    engine,
    report,
    signal,
  );
  const answers = compareAnswers(own, other);
  const limit = logitLimit(merged.dtypes.keys(), typeOf, model);
  if (!(answers.logitError <= limit)) findings.push(logitFinding(answers, limit));
  return { findings, notices, weights: weights.worst, answers };
}

/** Compares what a model answers with an adapter, and with what a file holds of that adapter. */
export async function verifyLora(
  {
    model,
    adapter: folder,
    engine,
    prompts,
  }: Omit<VerifyInput, 'exported' | 'types' | 'adapter'> & { readonly adapter: FileSource },
  exported: Adapter,
  type: string,
  report: LoadingReport,
  signal?: AbortSignal,
): Promise<Verification> {
  const asked = await withTemplateOf(model, folder);
  const ids = (prompts ?? ownPrompts(asked)).map((prompt) => [...promptIds(asked, prompt)]);
  const own = await answersOf(asked, await readAdapter(folder), ids, model.spec.maxPositions, engine, report, signal);
  const other = await answersOf(asked, exported, ids, model.spec.maxPositions, engine, report, signal);
  const answers = compareAnswers(own, other);
  const limit = LOGIT_LIMITS[type] ?? LARGEST_LIMIT;
  return { findings: answers.logitError <= limit ? [] : [logitFinding(answers, limit)], notices: [], answers };
}

function logitFinding({ logitError }: AnswerComparison, limit: number): string {
  return `Logits are ${formatShare(logitError)} off; stored so, they may be ${formatShare(limit)}.`;
}

/** Tokens that both see whole, where their windows differ. */
function commonWindow(...specs: readonly DecoderSpec[]): number {
  const windows = specs.flatMap(({ layers = [] }) => layers.map(({ window }) => window ?? Infinity));
  return Math.min(...windows, ...specs.map(({ maxPositions }) => maxPositions));
}

/** Fields that shapes follow from. */
const SIZES = new Set([
  ...['vocabSize', 'hiddenSize', 'intermediateSize', 'numLayers', 'numHeads', 'numKeyValueHeads', 'headDim'],
  ...['attentionBias', 'mlpBias', 'fusedProjections', 'queryKeyNorms', 'sandwichNorms', 'normOffset'],
]);

/** What queries are multiplied with in a file whose format scales scores otherwise. */
function queryFactor(spec: DecoderSpec, exported: DecoderSpec): (name: string) => number {
  const scale = ({ attentionScale, headDim }: DecoderSpec) => attentionScale ?? 1 / Math.sqrt(headDim);
  const factor = scale(spec) / scale(exported);
  return (name) => (/\.q_proj\.(weight|bias)$/.test(name) ? factor : 1);
}

/** The model's own weights may be rounded to its type when an adapter is merged into them. */
function logitLimit(
  names: Iterable<string>,
  typeOf: (name: string) => string | undefined,
  { weightDType }: Pick<HubModel, 'weightDType'>,
): number {
  const own = LOGIT_LIMITS[weightDType.toUpperCase()]!;
  return Math.max(own, ...[...names].map((name) => LOGIT_LIMITS[typeOf(name) ?? 'F32'] ?? LARGEST_LIMIT));
}

/** Short texts and a conversation; token ids for a model that reads no text. */
function ownPrompts({ tokenizer, spec }: HubModel): Prompt[] {
  if (!tokenizer) {
    const row = (step: number) => Array.from({ length: 12 }, (_, i) => (1 + step * i) % spec.vocabSize);
    return [1, 7, 31].map((step) => ({ kind: 'tokens', ids: row(step) }));
  }
  return [
    { kind: 'text', text: 'Once upon a time there was a' },
    { kind: 'text', text: 'The capital of France is' },
    { kind: 'chat', messages: [{ role: 'user', content: 'Tell me about the sea in one sentence.' }] },
  ];
}
