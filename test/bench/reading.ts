/**
 * `npm run bench -- data`: reading a dataset (JSON, template, mask, tokens) beside the tokenizer library alone on the
 * same rendered texts, which is the floor of anything that uses it. Ids are checked before anything is timed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { parseRunConfig } from '../../src/core/config';
import { errorCode } from '../../src/core/errors';
import { Random } from '../../src/core/rng';
import { encodeUtf8 } from '../../src/core/store';
import { openFolder } from '../../src/cli/folders';
import { packageRoot } from '../../src/cli/sources';
import { openTextModel, type HubText } from '../../src/formats/text-model';
import { readData, type DatasetFile } from '../../src/recipes';

const ROUNDS = 3;
const CHECKED = 300;

interface Measured {
  /** Milliseconds, ascending. */
  readonly times: number[];
  readonly median: number;
}

export async function benchReading(write: (line: string) => void): Promise<void> {
  const folder = join(packageRoot(), 'public/models/starter');
  const model = await openTextModel(await openFolder(folder));
  const json = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as object;
  const library = new LibraryTokenizer(json('tokenizer.json'), json('tokenizer_config.json'));
  const words = collectWords();

  for (const count of [5_200, 52_000]) {
    const { file, texts } = alpacaRows(count, words, model);
    await check(file, texts.slice(0, CHECKED), library, model);
    const floor = await measure(() => {
      for (const text of texts) library.encode(text, { add_special_tokens: false });
    });
    const ours = await measure(() => read(file, model));
    write(
      `${count} rows: floor ${spread(floor)}, reading ${spread(ours)}, ` +
        `${(ours.median / floor.median).toFixed(2)} of the floor, ${((1000 * ours.median) / count).toFixed(1)} µs a row`,
    );
  }

  const talk = conversation(300, words);
  write(`a conversation of 300 messages at max_length 512: ${spread(await measure(() => read(talk, model)))}`);

  const { file } = alpacaRows(52_000, words, model);
  let last = performance.now();
  let longest = 0;
  await read(file, model, () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  });
  write(`longest time without progress: ${longest.toFixed(0)} ms`);
  const controller = new AbortController();
  let asked = 0;
  const stopped = read(
    file,
    model,
    (rows) => {
      if (rows < 10_000 || controller.signal.aborted) return;
      asked = performance.now();
      controller.abort();
    },
    controller.signal,
  ).catch(errorCode);
  if ((await stopped) !== 'cancelled') throw new Error('Reading did not stop');
  write(`time from a cancel to its end: ${(performance.now() - asked).toFixed(0)} ms`);
}

function read(file: DatasetFile, model: HubText, report?: (rows: number) => void, signal?: AbortSignal) {
  const { tokenizer, template, vocabSize, maxPositions } = model;
  return readData(parseRunConfig(''), { tokenizer, template, spec: { vocabSize, maxPositions } }, file, report, signal);
}

/** Ids of the first rows are the library's, and what is trained of each is the answer with its end. */
async function check(file: DatasetFile, texts: readonly string[], library: LibraryTokenizer, model: HubText) {
  const { tokenized } = await read(file, model);
  texts.forEach((text, i) => {
    const { inputIds, labels } = tokenized.examples[i]!;
    const { ids } = library.encode(text, { add_special_tokens: false });
    if (ids.slice(0, inputIds.length).join() !== inputIds.join()) throw new Error(`Row ${i + 1} has other ids`);
    const trained = inputIds.filter((_, at) => labels[at] !== -100);
    const answer = text.slice(text.indexOf('<|assistant|>') + '<|assistant|>'.length);
    const shown = model.tokenizer.decode(trained, { skipSpecialTokens: false });
    if (!answer.startsWith(shown)) throw new Error(`Row ${i + 1} trains ${shown}`);
  });
}

/** Words of the project's own texts: often the common ones, seldom the others, as in any text. */
function collectWords(): string[] {
  const root = packageRoot();
  const folders = ['src/core', 'src/engine', 'src/recipes', 'src/formats'].map((folder) => join(root, folder));
  const sources = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name)),
  );
  const files = [
    ...sources,
    ...['README.md', 'ARCHITECTURE.md', 'public/datasets/title-fees.jsonl'].map((f) => join(root, f)),
  ];
  return files.flatMap((file) => readFileSync(file, 'utf8').match(/[A-Za-z]+|\d+|[.,;:()]/g) ?? []);
}

function sentence(random: Random, words: readonly string[], least: number, most: number): string {
  const count = least + Math.floor(random.uniform() * (most - least));
  return Array.from({ length: count }, () => words[Math.floor(random.uniform() * words.length)]).join(' ');
}

/** Rows like Alpaca's, no two alike, with the texts that the template makes of them. */
function alpacaRows(count: number, words: readonly string[], { template }: HubText) {
  const random = new Random(7, 1);
  const rows = Array.from({ length: count }, (_, i) => ({
    instruction: sentence(random, words, 6, 20),
    input: i % 3 === 0 ? sentence(random, words, 5, 40) : '',
    output: sentence(random, words, 10, 120),
  }));
  const texts = rows.map(({ instruction, input, output }) =>
    template.render(
      {
        messages: [
          { role: 'user', content: input === '' ? instruction : `${instruction}\n${input}` },
          { role: 'assistant', content: output },
        ],
      },
      { addGenerationPrompt: false },
    ),
  );
  return {
    file: { name: 'alpaca.jsonl', bytes: encodeUtf8(rows.map((row) => JSON.stringify(row)).join('\n')) },
    texts,
  };
}

function conversation(messages: number, words: readonly string[]): DatasetFile {
  const random = new Random(8, 1);
  const list = Array.from({ length: messages }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: i < 4 ? sentence(random, words, 10, 20) : sentence(random, words, 150, 350),
  }));
  return { name: 'talk.jsonl', bytes: encodeUtf8(JSON.stringify({ messages: list })) };
}

async function measure(work: () => unknown): Promise<Measured> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    await work();
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  return { times, median: times[ROUNDS >> 1]! };
}

function spread({ times, median }: Measured): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(2);
  return `${seconds(median)} s (${seconds(times[0]!)} to ${seconds(times.at(-1)!)})`;
}
