/** Reading an exported model back, and holding it against the one that it was made from. */
import { toFloat32 } from '../core/dtypes';
import { errorCode, GraftError } from '../core/errors';
import { formatShare } from '../core/format';
import type { DecoderSpec } from '../core/spec';
import type { FileSource } from '../core/store';
import { wholeTensors, type WeightTensor } from '../core/weights';
import type { Engine } from '../engine';
import { compareSpecs } from '../formats/compare-specs';
import type { HubModel } from '../formats/model';
import { readAdapter, type Adapter } from '../formats/peft';
import { withTemplateOf } from '../formats/saved-template';
import { awqExpected, type ReadValues } from './steps/awq-expected';
import { answersOf, compareAnswers, type AnswerComparison, type Answers } from './steps/compare-answers';
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
  /** Of a file whose BOS is that of conversations: other texts may lack it. */
  readonly bosOfConversations?: boolean | undefined;
}

export interface Verification {
  /** A sentence for each difference that makes the file another model; without any, it is good. */
  readonly findings: readonly string[];
  /** What is otherwise, but as the format has it. */
  readonly notices: readonly string[];
  readonly weights?: WeightsComparison['worst'];
  readonly answers?: AnswerComparison & AnswerScale;
}

/** What the differences of answers are held against. */
interface AnswerScale {
  /** Most of the size of logits that a file may be off that stores weights so. */
  readonly tolerance: number;
  /** How far the model's logits with the adapter are from those without, as a part of their size. */
  readonly adapterEffect?: number;
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
  AWQ: 0.5,
  GPTQ: 0.5,
};
const LARGEST_LIMIT = 0.5;

/** Compares shape, weights, texts and answers. What can't be asked any more, as the shapes differ, is left out. */
export async function verifyExport(
  input: VerifyInput,
  report: LoadingReport,
  signal?: AbortSignal,
): Promise<Verification> {
  const { model, exported, types = exported.types } = input;
  const merged = await openMerged(input);
  const { fields, windows } = compareSpecs(merged.spec, exported.spec);
  const text = compareText(merged.asked, exported, input.bosOfConversations);
  const notices = [
    ...(windows ? ['Layers see other windows in the file: answers differ once a text is longer.'] : []),
    ...text.notices,
  ];
  const findings = [...fields.map((field) => `${field} is another in the file than in the model.`), ...text.findings];
  if (fields.some((field) => SIZES.has(field))) return { findings, notices };
  const typeOf = (name: string) => types?.get(name) ?? exported.dtypes.get(name)?.toUpperCase();
  const factorOf = queryFactor(merged.spec, exported.spec);
  const isAwq = [...(types?.values() ?? [])].includes('AWQ');
  const weights = await compareWeights(
    merged.weights(report, signal),
    exported,
    typeOf,
    isAwq
      ? awqExpected(
          merged.spec,
          valuesOf(merged.weightsOf),
          valuesOf((names) => wholeTensors(exported.weights({ names }))),
        )
      : ({ name, dtype, bytes }) => ({ values: toFloat32(bytes, dtype).map((value) => value * factorOf(name)) }),
  );
  findings.push(...weights.findings);
  const adapter = input.adapter && (await readAdapter(input.adapter));
  const context = windows ? commonWindow(merged.spec, exported.spec) : merged.spec.maxPositions;
  const ask = asker(merged.asked, input, context, report, signal);
  const tolerance = logitLimit(merged.dtypes.keys(), typeOf, model);
  const answers = await unlessTooLarge(notices, async () => {
    const own = await ask(merged.asked, adapter);
    const compared = compareAnswers(own, await ask({ ...exported, tokenizer: merged.asked.tokenizer }));
    return { ...compared, tolerance, ...(adapter && (await effectOf(own, merged.asked, ask))) };
  });
  notices.push(...blindnessNotices(answers));
  return {
    findings: [...findings, ...logitFindings(answers)],
    notices,
    weights: weights.worst,
    ...(answers && { answers }),
  };
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
  const ask = asker(asked, { engine, prompts }, model.spec.maxPositions, report, signal);
  const own = await readAdapter(folder);
  if (!own.lora) throw new GraftError('unsupported', `${folder.name} is a prompt, and the file holds LoRA.`);
  const notices: string[] = [];
  const tolerance = LOGIT_LIMITS[type] ?? LARGEST_LIMIT;
  const answers = await unlessTooLarge(notices, async () => {
    const tuned = await ask(asked, own);
    const compared = compareAnswers(tuned, await ask(asked, exported));
    return { ...compared, tolerance, ...(await effectOf(tuned, asked, ask)) };
  });
  notices.push(...blindnessNotices(answers));
  return { findings: logitFindings(answers), notices, ...(answers && { answers }) };
}

type Ask = (model: HubModel, adapter?: Adapter, logitsAlone?: boolean) => Promise<Answers>;

/** How far an adapter moves the logits of its model. */
async function effectOf(tuned: Answers, base: HubModel, ask: Ask): Promise<Pick<AnswerScale, 'adapterEffect'>> {
  const { logits, vocabSize } = await ask(base, undefined, true);
  return { adapterEffect: compareAnswers(tuned, { logits, vocabSize, answers: tuned.answers }).logitError };
}

/** Where the model without its adapter would have passed too, that is no proof, and said. */
function blindnessNotices(answers: AnswerScale | undefined): string[] {
  const { adapterEffect = Infinity, tolerance = 0 } = answers ?? {};
  if (adapterEffect > tolerance) return [];
  return [
    `With and without the adapter, the model's logits are ${formatShare(adapterEffect)} apart, and a file of this type may be ` +
      `${formatShare(tolerance)} off: by its answers, this check can't tell whether the adapter is in the file.`,
  ];
}

/** Asks models the same prompts, as `asked` reads them. */
function asker(
  asked: HubModel,
  { engine, prompts = [] }: Pick<VerifyInput, 'engine' | 'prompts'>,
  context: number,
  report: LoadingReport,
  signal: AbortSignal | undefined,
): Ask {
  const ids = (prompts.length > 0 ? prompts : ownPrompts(asked)).map((prompt) => [...promptIds(asked, prompt)]);
  return (model, adapter, logitsAlone) => answersOf(model, adapter, ids, context, engine, report, signal, logitsAlone);
}

/** What a model has to be on the GPU for; where there is no room for it, a notice says so. */
async function unlessTooLarge<T>(notices: string[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (errorCode(error) !== 'out-of-memory') throw error;
    notices.push('Answers are not compared: the model does not fit into the memory of this GPU.');
    return undefined;
  }
}

function logitFindings(answers: Verification['answers']): string[] {
  if (!answers || answers.logitError <= answers.tolerance) return [];
  const { logitError, tolerance } = answers;
  return [`Logits are ${formatShare(logitError)} off; stored so, they may be ${formatShare(tolerance)}.`];
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

/** One parameter in f32, of a source that gives those of some names. */
function valuesOf(read: (names: ReadonlySet<string>) => AsyncIterable<WeightTensor>): ReadValues {
  return async (name) => {
    for await (const tensor of read(new Set([name])))
      if (tensor.name === name) return toFloat32(tensor.bytes, tensor.dtype);
    throw new Error(`${name} is not there`);
  };
}

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
