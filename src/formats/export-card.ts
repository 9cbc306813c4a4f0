/** The README.md of an exported model: what it was made of, what was checked, and how it is used. */
import { stringify } from 'yaml';
import type { AdapterSpec } from '../core/adapter';
import type { BaseModel } from './base-model';
import type { BaseRelation } from './front-matter';
import type { Int4Method } from './int4/layouts';
import { adapterFacts, factsTable, fence, modelUsage } from './model-card';
import { ollamaLines, questionLine, servedName, vllmLines, word, type ServingLines } from './serving';

/** What an export is, with the name of its file or its folder. */
export type Exported =
  | { readonly kind: 'merged'; readonly folder: string }
  | {
      readonly kind: 'int4';
      readonly folder: string;
      readonly method: Int4Method;
      readonly type: string;
      /** What it was calibrated on, as a card says it. */
      readonly calibratedOn: string;
    }
  | { readonly kind: 'gguf' | 'gguf-lora'; readonly file: string; readonly type: string }
  | { readonly kind: 'ollama'; readonly folder: string; readonly type: string };

export interface ExportCard {
  readonly base: BaseModel;
  /** What is merged into the model, or applied to it. */
  readonly adapter?: AdapterSpec | undefined;
  readonly exported: Exported;
  /** What was compared with the model that it was made from, in order. */
  readonly checked: Readonly<Record<string, string>>;
  /** What is otherwise where it is used, a sentence each. */
  readonly notices: readonly string[];
  /** Options of llama-server that have it ask the model as Graft does. */
  readonly serverOptions?: readonly string[];
  /** The resolved run file, where a run of Graft made the adapter. */
  readonly runYaml?: string | undefined;
}

export function exportCard(card: ExportCard): string {
  const { base, adapter, exported, checked, notices, runYaml } = card;
  const isGguf = exported.kind !== 'merged' && exported.kind !== 'int4';
  const frontMatter = stringify({
    ...(base.hub && {
      base_model: base.hub.id,
      base_model_relation: relationOf(exported, adapter !== undefined),
    }),
    library_name: isGguf ? 'gguf' : 'transformers',
    pipeline_tag: 'text-generation',
    tags: [
      ...(isGguf ? ['gguf'] : []),
      ...(exported.kind === 'ollama' ? ['ollama'] : []),
      ...(exported.kind === 'int4' ? [exported.method, '4-bit'] : []),
      'graft',
    ],
  });
  const facts = {
    'Base model': base.hub?.id ?? base.name,
    ...(base.hub?.revision !== undefined && { 'Base revision': base.hub.revision }),
    ...adapterFacts(adapter ?? {}),
    ...('type' in exported && { 'Weights stored as': exported.type }),
    ...(exported.kind === 'int4' && { 'Calibrated on': exported.calibratedOn }),
  };
  const sections = [
    `---\n${frontMatter}---`,
    `# ${titleOf(base, adapter !== undefined, exported)}`,
    describe(adapter !== undefined, exported),
    factsTable(facts),
    `## Checked\n\nThe export was opened again and held against the model that it was made from.\n\n${factsTable(checked)}`,
    ...(notices.length > 0 ? [`## Good to know\n\n${notices.map((notice) => `- ${notice}`).join('\n')}`] : []),
    `## Use\n\n${usesOf(card)
      .map(({ title, text }) => `${title}:\n\n${fence(title === 'Transformers' ? 'python' : 'sh', text)}`)
      .join('\n\n')}`,
    ...(runYaml === undefined ? [] : [`## Run file\n\n${fence('yaml', runYaml.trimEnd())}`]),
  ];
  return `${sections.join('\n\n')}\n`;
}

/** A model that was trained on is a finetune, in whatever type its weights are; as it was, in other types, it is quantised. */
function relationOf({ kind }: Exported, isTuned: boolean): BaseRelation {
  if (kind === 'gguf-lora') return 'adapter';
  return isTuned ? 'finetune' : 'quantized';
}

function titleOf(base: BaseModel, isTuned: boolean, exported: Exported): string {
  const { kind } = exported;
  if (kind === 'gguf-lora') return `An adapter for ${base.name}, as GGUF`;
  const form = {
    merged: '',
    int4: exported.kind === 'int4' ? `, in 4 bits by ${exported.method.toUpperCase()}` : '',
    gguf: ', as GGUF',
    ollama: ', for Ollama',
  };
  return `${base.name}${isTuned ? ', fine-tuned' : ''}${form[kind]}`;
}

function describe(isTuned: boolean, { kind }: Exported): string {
  if (kind === 'gguf-lora')
    return "A LoRA adapter written by Graft in the format of llama.cpp, for the base model's GGUF file.";
  const what = isTuned ? 'The base model with an adapter' : 'The model';
  return {
    int4: `${what}${isTuned ? ' merged into its weights' : ''}, quantised and written by Graft as a model folder.`,
    merged: `${what} merged into its weights, written by Graft as a model folder.`,
    gguf: `${what}${isTuned ? ' merged into its weights' : ''}, written by Graft as one GGUF file.`,
    ollama: `${what}, written by Graft as GGUF with a Modelfile for Ollama.`,
  }[kind];
}

/** A question that any model takes. */
const QUESTION = 'Hello!';

function usesOf({ exported, serverOptions = [] }: ExportCard): ServingLines[] {
  if (exported.kind === 'merged' || exported.kind === 'int4') {
    const name = servedName(exported.folder);
    return [
      { title: 'Transformers', text: modelUsage(exported.folder) },
      { title: 'vLLM', text: [...vllmLines(exported.folder, name), questionLine(8000, name, QUESTION)].join('\n') },
    ];
  }
  if (exported.kind === 'ollama') {
    const name = servedName(exported.folder);
    return [
      {
        title: 'Ollama',
        text: [...ollamaLines(exported.folder, name), questionLine(11434, name, QUESTION)].join('\n'),
      },
      { title: 'Graft, which starts Ollama or llama.cpp', text: `npx graft serve ${word(exported.folder)}` },
    ];
  }
  const { kind, file } = exported;
  const files = kind === 'gguf' ? `--model ${word(file)}` : `--model path/to/the/base/model.gguf --lora ${word(file)}`;
  const options = serverOptions.map((option) => ` ${word(option)}`).join('');
  const name = servedName(file.replace(/\.gguf$/i, ''));
  return [
    {
      title: "llama.cpp's server",
      text: [`llama-server ${files}${options} --port 8080`, questionLine(8080, name, QUESTION)].join('\n'),
    },
    ...(kind === 'gguf' ? [{ title: 'Graft, which starts it', text: `npx graft serve ${word(file)}` }] : []),
  ];
}
