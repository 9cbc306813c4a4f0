/** The adapter's README.md: front matter as the Hub reads it, then what a person needs to use the adapter. */
import { stringify } from 'yaml';
import { loraScaling, type LoraSpec } from '../core/spec';

export interface ModelCard {
  readonly title?: string;
  /** The base model's commit on the Hub. */
  readonly revision?: string;
  /** Name of the dataset, for a person. */
  readonly dataset?: string;
  /** Figures of the run, in order: `{'Training examples': 111, 'Final loss': 0.02}`. */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** The resolved run file. */
  readonly runYaml?: string;
}

export function modelCard(baseModel: string, lora: LoraSpec, card: ModelCard): string {
  const frontMatter = stringify({
    base_model: baseModel,
    library_name: 'peft',
    pipeline_tag: 'text-generation',
    tags: [`base_model:adapter:${baseModel}`, 'lora', 'transformers', 'graft'],
  });
  const facts: Record<string, string | number> = {
    'Base model': baseModel,
    ...(card.revision === undefined ? {} : { 'Base revision': card.revision }),
    ...(card.dataset === undefined ? {} : { 'Trained on': card.dataset }),
    Adapter: describe(lora),
    'Target modules': lora.targetModules.join(', '),
    ...card.facts,
  };
  const rows = Object.entries(facts).map(([name, value]) => `| ${cell(name)} | ${cell(String(value))} |`);
  const sections = [
    `---\n${frontMatter}---`,
    `# ${card.title ?? `An adapter for ${baseModel}`}`,
    'A LoRA adapter trained with Graft, in the format of PEFT.',
    ['| | |', '|---|---|', ...rows].join('\n'),
    `## Use\n\n${fence('python', usage(baseModel, card.revision))}`,
    ...(card.runYaml === undefined ? [] : [`## Run file\n\n${fence('yaml', card.runYaml.trimEnd())}`]),
  ];
  return `${sections.join('\n\n')}\n`;
}

function describe(lora: LoraSpec): string {
  const kind = lora.useDora ? 'DoRA' : lora.useRslora ? 'rank-stabilised LoRA' : 'LoRA';
  const scaling = Number(loraScaling(lora).toPrecision(6));
  return `${kind}, r ${lora.r}, lora_alpha ${lora.alpha} (scaling ${scaling}), dropout ${lora.dropout}`;
}

function usage(baseModel: string, revision: string | undefined): string {
  const pinned = revision === undefined ? '' : `, revision=${JSON.stringify(revision)}`;
  return [
    'from peft import PeftModel',
    'from transformers import AutoModelForCausalLM',
    '',
    `base = AutoModelForCausalLM.from_pretrained(${JSON.stringify(baseModel)}${pinned})`,
    'model = PeftModel.from_pretrained(base, "path/to/this/folder")',
  ].join('\n');
}

function cell(text: string): string {
  return text.replace(/\|/g, '\\|').replace(/\s*\n\s*/g, ' ');
}

/** A code block whose fence is longer than any run of backticks inside. */
function fence(language: string, code: string): string {
  const longest = Math.max(2, ...[...code.matchAll(/`+/g)].map(([run]) => run.length));
  const ticks = '`'.repeat(longest + 1);
  return `${ticks}${language}\n${code}\n${ticks}`;
}
