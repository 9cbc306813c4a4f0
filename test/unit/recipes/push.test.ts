/** What of a folder goes to a Hub. */
import { expect, test } from 'vitest';
import { modelCard } from '../../../src/formats/model-card';
import { preparePush, type PushedFiles } from '../../../src/recipes';
import { baseModelOf } from '../../../src/recipes/steps/base-model';
import { expectError } from '../hub/support';

const COMMIT = 'c0ffee'.repeat(7).slice(0, 40);
const lora = { r: 2, alpha: 4, dropout: 0, targetModules: ['q_proj'], useRslora: false, useDora: false };
const RUN = 'model_name_or_path: org/tiny\ndataset: /home/anna/clients/acme.jsonl\noutput_dir: ./runs/acme\nseed: 42\n';
const base = baseModelOf({ model_name_or_path: 'org/tiny', revision: COMMIT });
const README = modelCard(base, { lora }, { base, dataset: 'acme.jsonl', runYaml: RUN });

/** A finished run, with all that it and its user may leave there. */
const RUN_FOLDER = {
  'README.md': README,
  'adapter_config.json': JSON.stringify({ base_model_name_or_path: 'org/tiny', r: 2 }),
  'adapter_model.safetensors': 'weights',
  'chat_template.jinja': '{{ messages }}',
  'tokenizer.json': '{}',
  'run.yaml': RUN,
  'graft.json': '{}',
  'trainer_state.json': '{}',
  'checkpoint-0': 'moments',
  'graft.lock': '123',
  'optimizer.pt': 'moments',
  'train.log': 'read /home/anna/clients/acme.jsonl',
  'rows.jsonl': '{}',
  '.env': 'HF_TOKEN=x',
  'model.safetensors.123-0.partial': 'half',
};
const LEFT_OUT = [
  ...['graft.json', 'trainer_state.json', 'checkpoint-0', 'graft.lock', 'optimizer.pt', 'train.log', 'rows.jsonl'],
  ...['.env', 'model.safetensors.123-0.partial'],
];

function prepare(files: Readonly<Record<string, string>>, licence?: string): Promise<PushedFiles> {
  const given = Object.entries(files).map(([name, text]) => ({ name, blob: new Blob([text]) }));
  return preparePush('out', given, () => Promise.resolve(licence));
}
const without = (...names: string[]) =>
  Object.fromEntries(Object.entries(RUN_FOLDER).filter(([name]) => !names.includes(name)));
const textOf = ({ files }: PushedFiles, file: string) => files.find(({ name }) => name === file)!.blob.text();

test('of a run, the result goes and nothing else, and what stays is named', async () => {
  const pushed = await prepare(RUN_FOLDER, 'apache-2.0');
  expect(pushed.kind).toBe('adapter');
  expect(pushed.files.map(({ name }) => name)).toEqual(Object.keys(RUN_FOLDER).slice(0, 6));
  expect(pushed.leftOut).toEqual(LEFT_OUT);
  expect(await textOf(pushed, 'adapter_model.safetensors')).toBe('weights');
});

test('where things lay on the computer stays there', async () => {
  const pushed = await prepare({
    ...RUN_FOLDER,
    'adapter_config.json': JSON.stringify({ base_model_name_or_path: 'C:\\Users\\anna\\tiny' }),
  });
  for (const { blob } of pushed.files) expect(await blob.text()).not.toMatch(/anna|\.\/runs/);
  expect(await textOf(pushed, 'run.yaml')).toBe(
    'model_name_or_path: org/tiny\ndataset: acme.jsonl\noutput_dir: acme\nseed: 42\n',
  );
  expect(await textOf(pushed, 'adapter_config.json')).toBe('{"base_model_name_or_path":"tiny"}');
  expect(await textOf(pushed, 'README.md')).toContain('dataset: acme.jsonl');
  expect(pushed.notices[0]).toBe(
    'Of paths on this computer, README.md, adapter_config.json, run.yaml keep the last part alone.',
  );
});

test('a path is cut where it stands alone, not at the end of an address or of another path', async () => {
  const card = `${README}\nhttps://huggingface.co/models, ./llama-server, "/models", my/models\n`;
  const paths = { 'run.yaml': 'model_name_or_path: /models\noutput_dir: ./\n', 'README.md': card };
  const pushed = await prepare({ ...RUN_FOLDER, ...paths });
  expect(await textOf(pushed, 'run.yaml')).toBe('model_name_or_path: models\noutput_dir: ./\n');
  expect(await textOf(pushed, 'README.md')).toContain(
    'https://huggingface.co/models, ./llama-server, "models", my/models',
  );
});

test("the base's licence goes into the card, where the card says none", async () => {
  const pushed = await prepare(RUN_FOLDER, 'apache-2.0');
  expect(await textOf(pushed, 'README.md')).toMatch(/^---\n[^#]*license: apache-2.0\n---\n/);
  expect(pushed.notices.at(-1)).toBe(
    'The front matter of README.md is put right as it is sent: license is apache-2.0.',
  );
  for (const licence of [undefined, 'other']) {
    const without = await prepare(RUN_FOLDER, licence);
    expect(await textOf(without, 'README.md')).not.toContain('license:');
    expect(without.notices.at(-1)).toMatch(/^README.md says no licence/);
  }
});

test('a folder without a card is told so', async () => {
  expect((await prepare(without('README.md'))).notices.at(-1)).toMatch(
    /^There is no README.md: the repository gets no model card/,
  );
});

test('models, quantised ones and GGUF files are told apart', async () => {
  const weights = { 'model.safetensors': '' };
  expect((await prepare({ 'config.json': '{}', ...weights })).kind).toBe('model');
  expect((await prepare({ 'config.json': '{"quantization_config": {}}', ...weights })).kind).toBe('int4');
  const ollama = await prepare({ 'm.gguf': '', Modelfile: 'FROM ./m.gguf' });
  expect([ollama.kind, ollama.leftOut]).toEqual(['gguf', []]);
});

test('what is no result is refused, and a run that has not finished is told of', async () => {
  await expectError(
    () => prepare({ 'notes.txt': '' }),
    'not-found',
    /^out holds nothing that can be pushed: an adapter/,
  );
  await expectError(() => prepare({}), 'not-found', /^out holds nothing/);
  const unfinished = without('graft.json');
  await expectError(() => prepare(without('graft.json', 'checkpoint-0')), 'not-found', /has not finished/);
  expect((await prepare(without('graft.json', 'checkpoint-0', 'graft.lock'))).kind).toBe('adapter'); // downloaded
  await expectError(
    () => prepare(unfinished),
    'not-found',
    /has not finished.*graft export --checkpoint out --output DIR/,
  );
});

test('a token in a text stops all', async () => {
  const files = { ...RUN_FOLDER, 'README.md': `${README}\nhf_${'aB3'.repeat(11)}\n` };
  const told = await expectError(
    () => prepare(files),
    'bad-file',
    /^README.md has what looks like a token of a Hub in it/,
  );
  expect(told).not.toContain('aB3');
});
