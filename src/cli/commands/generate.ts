import { basename } from 'node:path';
import type { GraftError } from '../../core/errors';
import type { HubModel } from '../../formats/model';
import {
  contextFor,
  openGenerator,
  promptIds,
  promptNotices,
  readPrompts,
  textPrompt,
  type Generation,
  type GenerationOptions,
  type PromptRow,
} from '../../recipes';
import type { Arguments, Flag } from '../arguments';
import { AnswerFile } from '../answer-file';
import type { Command } from '../command';
import { openNodeEngine } from '../gpu';
import { readInput } from '../input';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG, modelArgument } from '../loading';
import { CACHE_FLAGS, folderCache } from '../model-cache';
import { adapterArgument, samePath, storageArgument } from '../sources';
import { UsageError } from '../usage';

const DEFAULT_NEW_TOKENS = 256;
/** As of runs: seeds have 32 bits. */
const MOST_SEED = 2 ** 32 - 1;

/** Flags that shape an answer; `graft chat` has them too. */
export const GENERATION_FLAGS: Readonly<Record<string, Flag>> = {
  'max-new-tokens': {
    value: 'N',
    help: 'tokens of an answer at most',
    default: `the model's, else ${DEFAULT_NEW_TOKENS}`,
  },
  temperature: { value: 'T', help: '0 takes the likeliest token each time', default: "the model's, else 0" },
  'top-p': {
    value: 'P',
    help: 'draw from the likeliest tokens of this much probability, 0 to 1',
    default: "the model's, else 1",
  },
  'top-k': { value: 'K', help: 'draw from this many likeliest tokens; 0 from all', default: "the model's, else 0" },
  'min-p': {
    value: 'P',
    help: "draw from tokens of at least this share of the likeliest's probability, 0 to 1; 0 from all",
    default: "the model's, else 0",
  },
  'repetition-penalty': {
    value: 'R',
    help: 'above 1, tokens of the prompt and of the answer so far become less likely; 1 changes nothing',
    default: "the model's, else 1",
  },
  seed: { value: 'S', help: `seed of the draws, 0 to ${MOST_SEED}`, default: '0' },
  stop: { value: 'TEXT', help: 'end the answer before this text; may be given more than once', multiple: true },
  context: { value: 'N', help: 'tokens of prompt and answer together', default: 'what the prompts need' },
  'chat-template-kwargs': { value: 'JSON', help: "variables for the chat template, beside those of the adapter's run" },
  'load-in-4bit': { help: 'keep base weights in 4 bits, as a run that trained so does by itself' },
  ...CACHE_FLAGS,
};

/** The flags, else what the model's generation_config.json suggests, else greedy. */
export function generationOptions(args: Arguments, { generationConfig: suggested }: HubModel): GenerationOptions {
  const sampled = suggested.doSample ?? false;
  return {
    maxNewTokens:
      args.number('max-new-tokens', { least: 1, whole: true }) ?? suggested.maxNewTokens ?? DEFAULT_NEW_TOKENS,
    temperature: args.number('temperature', { least: 0 }) ?? (sampled ? (suggested.temperature ?? 1) : 0),
    topP: args.number('top-p', { least: 0, most: 1 }) ?? (sampled ? (suggested.topP ?? 1) : 1),
    topK: args.number('top-k', { least: 0, whole: true }) ?? (sampled ? (suggested.topK ?? 0) : 0),
    minP: args.number('min-p', { least: 0, most: 1 }) ?? (sampled ? (suggested.minP ?? 0) : 0),
    // As in Transformers, where it shapes the likeliest token too.
    repetitionPenalty: args.number('repetition-penalty', { above: 0 }) ?? suggested.repetitionPenalty ?? 1,
    seed: args.number('seed', { least: 0, most: MOST_SEED, whole: true }) ?? 0,
    stop: args.all('stop').map(checkStop),
    useAdapter: true,
  };
}

/** What of the flags a greedy answer leaves out. */
export function drawingNotices(args: Arguments, { temperature }: GenerationOptions): string[] {
  if (temperature > 0) return [];
  const isOff = (flag: string) => args.number(flag) === (flag === 'top-p' ? 1 : 0);
  const idle = ['top-p', 'top-k', 'min-p'].filter((flag) => args.has(flag) && !isOff(flag));
  if (idle.length === 0) return [];
  const named = idle.map((flag) => `--${flag}`).join(', ');
  return [`The likeliest token is taken each time (temperature 0), without effect of ${named}: add --temperature T.`];
}

function checkStop(text: string): string {
  if (text !== '') return text;
  throw new UsageError('--stop is an empty text, which every answer begins with: name a text, or leave it out.');
}

export const generate: Command = {
  name: 'generate',
  summary: 'answer a prompt, or a file of prompts',
  usage: '--model MODEL [--adapter DIR] (--prompt TEXT | --input F.jsonl) [--output F.jsonl] [--temperature T] …',
  syntax: {
    positionals: 0,
    runKeys: false,
    flags: {
      model: MODEL_FLAG,
      adapter: ADAPTER_FLAG,
      prompt: { value: 'TEXT', help: "a user's message" },
      system: { value: 'TEXT', help: 'the system message before it' },
      input: { value: 'FILE', help: 'rows as train reads them: messages, prompt, question, instruction, input_ids …' },
      output: {
        value: 'FILE',
        help: 'where the rows go with their answers (output), each as it is done, instead of standard output',
      },
      overwrite: { help: 'replace the file that --output names' },
      raw: { help: 'go on with the text as it stands, without the chat template' },
      'batch-size': { value: 'N', help: 'prompts answered at once', default: '1' },
      ...GENERATION_FLAGS,
    },
  },
  keepsResult: (args) => args.has('output'),
  async run(args, terminal, signal) {
    refuseContradictions(args);
    const answers = new AnswerFile(args.text('output'), terminal, args.has('overwrite'));
    const rows = await promptRows(args, signal, (error) => answers.refuse(error.message));
    if (rows.length === 0) return answers.finish();
    const prompts = rows.map(({ prompt }) => prompt);
    const model = await modelArgument(args, terminal, signal);
    const say = (line: string) => terminal.say(line);
    const adapter = await adapterArgument(args, say);
    const storage = await storageArgument(args, say);
    const cache = await folderCache(args, model, storage.load_in_4bit ?? false, terminal);
    const options = generationOptions(args, model);
    const notices = [...promptNotices(model.template, prompts), ...drawingNotices(args, options)];
    notices.forEach((notice) => terminal.say(notice));
    const contextLength =
      args.number('context', { least: 2, whole: true }) ?? contextFor(model, prompts, options.maxNewTokens);
    const batchSize = Math.min(args.number('batch-size', { least: 1, whole: true }) ?? 1, rows.length);
    if (!args.has('input')) promptIds(model, prompts[0]!); // what can't be asked is said before anything is loaded

    const engine = await openNodeEngine(say);
    try {
      const generator = await openGenerator(
        { model, engine, cache, adapter, storage, batchSize, contextLength },
        loadingBar(terminal),
        signal,
      );
      if (!args.has('input')) {
        const answer = await generator.generate(prompts[0]!, options, (piece) => terminal.print(piece), signal);
        terminal.print('\n');
        terminal.emit(answerRow({}, answer));
        return;
      }
      const showProgress = (index: number) =>
        terminal.bar((index + 1) / rows.length, `${index + 1}/${rows.length} prompts`);
      await generator.generateAll(
        prompts,
        options,
        (answer, index) => {
          answers.add(answerRow(rows[index]!.row, answer));
          showProgress(index);
        },
        signal,
        (error, index) => {
          const { where = '' } = prompts[index]!;
          answers.refuse(error.message.startsWith(where) ? error.message : `${where}: ${error.message}`);
          showProgress(index);
        },
      );
      answers.finish();
    } finally {
      answers.close();
      engine.destroy();
    }
  },
};

/** @throws UsageError */
function refuseContradictions(args: Arguments): void {
  const [input, output] = [args.text('input'), args.text('output')];
  if (args.has('prompt') === args.has('input')) throw new UsageError('Give either --prompt TEXT or --input FILE.');
  if (input !== undefined && output !== undefined && samePath(input, output)) {
    throw new UsageError(`--output ${output} is the input itself: name another file for the answers.`);
  }
  if (input === undefined && output !== undefined) {
    throw new UsageError('--output goes with --input; the answer to --prompt is printed.');
  }
  if (input !== undefined && args.has('system')) {
    throw new UsageError('--system goes with --prompt: write the system message into the rows of --input.');
  }
  const ofTemplates = args.has('raw') && ['system', 'chat-template-kwargs'].find((flag) => args.has(flag));
  if (ofTemplates) {
    throw new UsageError(`--${ofTemplates} is for the chat template, which --raw leaves out: give one of them.`);
  }
}

/** What is asked. `onUnusable` gets each row of a file that can't be. */
async function promptRows(
  args: Arguments,
  signal: AbortSignal,
  onUnusable: (error: GraftError) => void,
): Promise<PromptRow[]> {
  const input = args.text('input');
  if (input !== undefined) {
    return readPrompts(basename(input), await readInput(input, 'input file', signal), args.has('raw'), onUnusable);
  }
  return [
    {
      prompt: textPrompt(args.required('prompt', 'the text to answer'), args.has('raw'), args.text('system')),
      row: {},
    },
  ];
}

/** A row with its answer in `output`; an answer that it had there is kept as `reference_output`. */
function answerRow(row: object, { text, ids, finish, promptTokens }: Generation): object {
  const own = Object.hasOwn(row, 'output') ? { reference_output: (row as { output: unknown }).output } : {};
  return { ...row, ...own, output: text, output_ids: ids, finish_reason: finish, prompt_tokens: promptTokens };
}
