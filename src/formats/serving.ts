/** Lines for a shell that serve a model under OpenAI's protocol, by the programs that people serve models with. */
import type { AdapterSpec } from '../core/adapter';
import type { BaseModel } from './base-model';

export interface ServingLines {
  /** The program. */
  readonly title: string;
  readonly text: string;
}

/** How Graft's command line names a base model. */
export function graftModel({ name, hub }: BaseModel): string {
  if (hub) return `${hub.id}@${hub.revision ?? 'main'}`;
  return name === 'starter' ? name : BASE_PATH;
}

/** Where whoever reads the lines has the base model, where others can't find it by its name. */
export const BASE_PATH = 'path/to/the/base/model';

/** What lies in a folder: an adapter of a base model, or a model of which every parameter was trained. */
export function servingOfFolder(base: BaseModel, adapter: AdapterSpec, folder: string): ServingLines[] {
  const { lora, prompt } = adapter;
  const isWhole = !lora && !prompt;
  const name = servedName(folder);
  const words = isWhole ? `--model ${word(folder)}` : `--model ${word(graftModel(base))} --adapter ${word(folder)}`;
  if (prompt) return [];
  const merged = `${folder}-merged`;
  const vllm = isWhole
    ? vllmLines(folder, name)
    : isPlainLora(adapter)
      ? vllmAdapterLines(base, lora!.r, folder, name)
      : [`npx graft export ${words} --output ${word(merged)}`, ...vllmLines(merged, name)];
  const gguf = `${name}-Q8_0.gguf`;
  const forOllama = `${name}-ollama`;
  return [
    { title: 'vLLM', text: vllm.join('\n') },
    {
      title: 'llama.cpp',
      text: [
        `npx graft export ${words} --format gguf --type Q8_0 --output ${gguf}`,
        `llama-server --model ${gguf} --port 8080`,
      ].join('\n'),
    },
    {
      title: 'Ollama',
      text: [
        `npx graft export ${words} --format ollama --type Q8_0 --output ${forOllama}`,
        ...ollamaLines(forOllama, name),
      ].join('\n'),
    },
  ];
}

/** A merged model folder, as Transformers reads it. */
export function vllmLines(folder: string, name: string): string[] {
  return [`vllm serve ${word(folder)} --served-model-name ${name} --port 8000`];
}

/** A model for Ollama in a folder with its Modelfile. */
export function ollamaLines(folder: string, name: string): string[] {
  return [`ollama create ${name} -f ${word(`${folder}/Modelfile`)}`, `ollama run ${name}`];
}

/** A question to whichever serves the model. */
export function questionLine(port: number, name: string, question: string): string {
  const body = { model: name, temperature: 0, messages: [{ role: 'user', content: question }] };
  return `curl http://localhost:${port}/v1/chat/completions -H 'Content-Type: application/json' -d ${word(JSON.stringify(body))}`;
}

/** Whether other programs apply the adapter beside its base; vLLM knows nothing but LoRA itself. */
function isPlainLora({ lora }: AdapterSpec): boolean {
  return lora !== undefined && !lora.useDora && !lora.modulesToSave && !lora.trainableTokens;
}

/** Ranks that vLLM makes room for. */
const VLLM_RANKS = [8, 16, 32, 64, 128, 256, 320, 512];

function vllmAdapterLines({ hub }: BaseModel, rank: number, folder: string, name: string): string[] {
  const revision = hub?.revision === undefined ? '' : ` --revision ${hub.revision}`;
  const room = VLLM_RANKS.find((most) => most >= rank) ?? rank;
  return [
    `vllm serve ${word(hub?.id ?? BASE_PATH)}${revision} --enable-lora --max-lora-rank ${room} --lora-modules ${word(`${name}=${folder}`)}`,
  ];
}

/** A name that every one of these programs takes. */
export function servedName(folder: string): string {
  const last = folder.split(/[/\\]/).findLast((part) => part !== '') ?? '';
  return (
    last
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, '-')
      .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '') || 'model'
  );
}

/** A word of a shell's line, in quotes where it needs them. */
export function word(text: string): string {
  return /^[\w./:@=+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
