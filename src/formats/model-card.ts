/** The README.md of an adapter or a model: front matter as the Hub reads it, then what a person needs to use it. */
import { stringify } from 'yaml';
import { hasAdapter, type AdapterSpec, type PromptSpec } from '../core/adapter';
import { loraScaling, type LoraSpec, type TrainableTokens } from '../core/spec';
import type { BaseModel } from './base-model';
import { BASE_PATH, servingOfFolder } from './serving';

export interface ModelCard {
  readonly title?: string;
  /** Absent, the base model's name counts as its id on the Hub. */
  readonly base?: BaseModel;
  /** Name of the dataset, for a person. */
  readonly dataset?: string;
  /** Figures of the run, in order: `{'Training examples': 111, 'Final loss': 0.02}`. */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** What was done to make it, `trained` where absent. */
  readonly origin?: string;
  /** The resolved run file. */
  readonly runYaml?: string;
}

/** Where whoever reads a card has put what it came with. */
const FOLDER = 'path/to/this/folder';

/** `adapter` is what the card stands beside; of none of its kinds for a model of which every parameter was trained. */
export function modelCard(base: BaseModel, adapter: AdapterSpec, card: ModelCard): string {
  const { prompt } = adapter;
  const isAdapter = hasAdapter(adapter);
  const frontMatter = stringify({
    // The Hub looks for it among its own models.
    ...(base.hub && { base_model: base.hub.id, base_model_relation: isAdapter ? 'adapter' : 'finetune' }),
    library_name: isAdapter ? 'peft' : 'transformers',
    pipeline_tag: 'text-generation',
    tags: [
      ...(base.hub && isAdapter ? [`base_model:adapter:${base.hub.id}`] : []),
      ...(isAdapter ? [prompt ? 'prompt-tuning' : 'lora', 'transformers'] : []),
      'graft',
    ],
  });
  const facts: Record<string, string | number> = {
    'Base model': base.hub?.id ?? base.name,
    ...(base.hub?.revision === undefined ? {} : { 'Base revision': base.hub.revision }),
    ...(card.dataset === undefined ? {} : { 'Trained on': card.dataset }),
    ...adapterFacts(adapter),
    ...card.facts,
  };
  const whereabouts = isAdapter && !base.hub ? `${base.whereabouts ?? `Its base model is ${base.name}.`}\n\n` : '';
  const sections = [
    `---\n${frontMatter}---`,
    `# ${card.title ?? (isAdapter ? `An adapter for ${base.name}` : `${base.name}, fine-tuned`)}`,
    isAdapter
      ? `A ${prompt ? 'prompt-tuning' : 'LoRA'} adapter ${card.origin ?? 'trained'} with Graft, in the format of PEFT.`
      : 'Every parameter was trained, with Graft.',
    factsTable(facts),
    `## Use\n\n${whereabouts}${fence('python', isAdapter ? adapterUsage(base, FOLDER) : modelUsage(FOLDER))}`,
    ...serveSection(base, adapter),
    ...(card.runYaml === undefined ? [] : [`## Run file\n\n${fence('yaml', card.runYaml.trimEnd())}`]),
  ];
  return `${sections.join('\n\n')}\n`;
}

/** How other programs serve it; a prompt is served by none of them. */
function serveSection(base: BaseModel, adapter: AdapterSpec): string[] {
  const servers = servingOfFolder(base, adapter, FOLDER);
  if (servers.length === 0) return [];
  return [`## Serve\n\n${servers.map(({ title, text }) => `${title}:\n\n${fence('sh', text)}`).join('\n\n')}`];
}

/** What an adapter is made of, row by row. */
export function adapterFacts({ lora, prompt }: AdapterSpec): Record<string, string> {
  return {
    ...(prompt && { Adapter: describePrompt(prompt) }),
    ...(lora && { Adapter: describe(lora), 'Target modules': lora.targetModules.join(', ') }),
    ...(lora?.modulesToSave && { 'Modules trained whole': lora.modulesToSave.join(', ') }),
    ...(lora?.trainableTokens && { 'Tokens whose rows are trained': describeTokens(lora.trainableTokens) }),
  };
}

/** Facts as a table of Markdown. */
export function factsTable(facts: Readonly<Record<string, string | number>>): string {
  const rows = Object.entries(facts).map(([name, value]) => `| ${cell(name)} | ${cell(String(value))} |`);
  return ['| | |', '|---|---|', ...rows].join('\n');
}

function describeTokens(tokens: TrainableTokens): string {
  return Object.entries(tokens)
    .map(([table, ids]: [string, readonly number[] | undefined]) => `${ids?.join(', ') ?? ''} of ${table}`)
    .join('; ');
}

function describePrompt({ numVirtualTokens, initText }: PromptSpec): string {
  const start = initText === undefined ? 'at random' : `as ${JSON.stringify(initText)}`;
  return `prompt tuning, ${numVirtualTokens} virtual tokens, which began ${start}`;
}

function describe(lora: LoraSpec): string {
  const kind = lora.useDora ? 'DoRA' : lora.useRslora ? 'rank-stabilised LoRA' : 'LoRA';
  const scaling = Number(loraScaling(lora).toPrecision(6));
  return `${kind}, r ${lora.r}, lora_alpha ${lora.alpha} (scaling ${scaling}), dropout ${lora.dropout}`;
}

/** Python that loads a model of which every parameter was trained, from the folder that it was put in. */
export function modelUsage(folder: string): string {
  return [
    'from transformers import AutoModelForCausalLM, AutoTokenizer',
    '',
    `model = AutoModelForCausalLM.from_pretrained(${JSON.stringify(folder)})`,
    `tokenizer = AutoTokenizer.from_pretrained(${JSON.stringify(folder)})`,
  ].join('\n');
}

/** Python that loads a base model with an adapter, from the folder that the adapter was put in. */
export function adapterUsage({ hub, ggufFile }: BaseModel, folder: string): string {
  const { id = BASE_PATH, revision } = hub ?? {};
  const options = [
    ...(revision === undefined ? [] : [`revision=${JSON.stringify(revision)}`]),
    ...(ggufFile === undefined ? [] : [`gguf_file=${JSON.stringify(ggufFile)}`]),
  ];
  return [
    'from peft import PeftModel',
    'from transformers import AutoModelForCausalLM',
    '',
    `base = AutoModelForCausalLM.from_pretrained(${[JSON.stringify(id), ...options].join(', ')})`,
    `model = PeftModel.from_pretrained(base, ${JSON.stringify(folder)})`,
  ].join('\n');
}

function cell(text: string): string {
  return text.replace(/\|/g, '\\|').replace(/\s*\n\s*/g, ' ');
}

/** A code block whose fence is longer than any run of backticks inside. */
export function fence(language: string, code: string): string {
  const longest = Math.max(2, ...[...code.matchAll(/`+/g)].map(([run]) => run.length));
  const ticks = '`'.repeat(longest + 1);
  return `${ticks}${language}\n${code}\n${ticks}`;
}
