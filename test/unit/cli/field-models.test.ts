/**
 * Models, adapters and runs as people have them, on the command line: each case stands for its kind. What loads must go on
 * past the reading of it, to where a GPU is asked for; what doesn't load gets one sentence.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { formatRunConfig, parseRunConfig } from '../../../src/core/config';
import { elementCount, fromFloat32 } from '../../../src/core/dtypes';
import { sha256 } from '../../../src/core/hash';
import { adapterParameters, type LoraSpec } from '../../../src/core/spec';
import type { StateTensor, WeightTensor } from '../../../src/core/weights';
import { openModel, readSpec } from '../../../src/formats/model';
import { adapterFiles } from '../../../src/formats/peft';
import { readAll, writeSafetensors } from '../../../src/formats/safetensors';
import { resolveRun } from '../../../src/recipes/steps/resolve';
import { StandInHub } from '../../support/stand-in-hub';
import { folder } from '../formats/support';
import { tinyModel, tokenRows } from '../recipes/support';
import { runHere as graft } from './support';

// Some tests train on a GPU, which may be a software one that other work keeps busy.
vi.setConfig({ testTimeout: 300_000 });

let root: string;
let model: string;
const path = (...names: string[]) => join(root, ...names);

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-field-'));
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  model = path('model');
  mkdirSync(model);
  const source = await tinyModel();
  for (const file of await source.list()) writeFileSync(join(model, file), await source.read(file));
  writeFileSync(path('rows.jsonl'), tokenRows(8));
  writeFileSync(path('run.yaml'), 'lora_r: 4\n');
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

let count = 0;
/** A folder of its own with the tiny model's files, changed. */
function changedModel(changes: Record<string, string | Uint8Array | object>): string {
  const to = path(`model-${count++}`);
  cpSync(model, to, { recursive: true });
  write(to, changes);
  return to;
}

function write(to: string, files: Record<string, string | Uint8Array | object>): void {
  mkdirSync(to, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const isBytes = typeof content === 'string' || content instanceof Uint8Array;
    writeFileSync(join(to, name), isBytes ? content : JSON.stringify(content));
  }
}

const train = (to: string, ...more: string[]) =>
  graft('train', '--model', to, '--data', path('rows.jsonl'), '--output', path(`out-${count++}`), ...more);
const plan = (to: string) => graft('plan', '--model', to, '--data', path('rows.jsonl'));
const ask = (to: string, ...more: string[]) => graft('generate', '--model', to, '--prompt', 'x', ...more);

/** Everything was read, and only a GPU is missing, if that is. */
function expectRead({ code, err }: { code: number; err: string }): void {
  if (code !== 0) expect(err).toMatch(/GPU|Vulkan/);
}

function expectSentence({ code, err }: { code: number; err: string }, sentence: RegExp, expected = 1): void {
  expect(err).toMatch(sentence);
  expect(err.trimEnd()).not.toContain('\n');
  expect(code).toBe(expected);
}

describe('refused although good', () => {
  test.each([
    ['top_k 0, temperature 0, top_p 0', { do_sample: true, top_k: 0, temperature: 0, top_p: 0 }, undefined],
    ['a top_p out of range', { top_p: 7 }, /top_p is 7, but it must be a number from 0 to 1; it is left out/],
    ['an eos_token_id that is text', { eos_token_id: '</s>' }, /eos_token_id is "<\/s>", but it must be a token id/],
    ['an eos_token_id out of the vocabulary', { eos_token_id: [1, 999] }, /the model has only 40 tokens/],
    ['broken JSON', '{"top_k": 50,}', /line 1, column 14: a comma before "}".*opens without its hints/],
  ])('a generation_config.json with %s', async (_what, content, notice) => {
    const to = changedModel({ 'generation_config.json': content });
    expect((await plan(to)).code).toBe(0);
    const trained = await train(to);
    expectRead(trained);
    if (notice) expect(trained.err).toMatch(notice);
    else expect(trained.err).not.toMatch(/generation_config/);
  });

  test('a total_size in an index that is not the sum', async () => {
    const bytes = readFileSync(join(model, 'model.safetensors'));
    const { weights } = await openModel(folder(model));
    const names: string[] = [];
    for await (const { name } of weights()) names.push(name);
    const weight_map = Object.fromEntries(names.map((name) => [name, 'model-00001-of-00001.safetensors']));
    const to = path('indexed');
    write(to, {
      'config.json': readFileSync(join(model, 'config.json')),
      'model-00001-of-00001.safetensors': bytes,
      'model.safetensors.index.json': { metadata: { total_size: 1 }, weight_map },
    });
    expect((await plan(to)).code).toBe(0);
  });

  test('a safetensors header with white space before its brace', async () => {
    const bytes = readFileSync(join(model, 'model.safetensors'));
    const padded = new Uint8Array(bytes.byteLength + 8);
    padded.set(bytes.subarray(8), 16);
    padded.fill(0x20, 8, 16);
    new DataView(padded.buffer).setBigUint64(0, bytes.readBigUInt64LE(0) + 8n, true);
    expect((await plan(changedModel({ 'model.safetensors': padded }))).code).toBe(0);
  });
});

const LORA: LoraSpec = {
  r: 2,
  alpha: 4,
  dropout: 0,
  targetModules: ['q_proj', 'down_proj'],
  useRslora: false,
  useDora: false,
};

/** A folder with an adapter of q_proj and down_proj for the tiny model. */
async function writeAdapter(
  change: object,
  {
    lora = LORA,
    rename = (name: string) => name,
    dtype = 'f32',
  }: { lora?: LoraSpec; rename?: (name: string) => string; dtype?: WeightTensor['dtype'] } = {},
): Promise<string> {
  const spec = await readSpec(folder(model));
  const tensors = adapterParameters(spec, lora).map(({ name, shape }): WeightTensor => {
    const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => i / 64);
    return { name: rename(name), shape, dtype, bytes: fromFloat32(values, dtype) };
  });
  const to = path(`adapter-${count++}`);
  const files = adapterFiles({ lora, baseModel: 'org/base', tensors });
  const bytes = Object.fromEntries(files.map((file) => [file.name, file.bytes]));
  const config = JSON.parse(new TextDecoder().decode(bytes['adapter_config.json'])) as object;
  write(to, { ...bytes, 'adapter_config.json': { ...config, ...change } });
  return to;
}

describe('adapters', () => {
  test.each([
    ['target_modules as a regular expression', { target_modules: '.*\\.(q_proj|down_proj)$' }],
    ['exclude_modules that match nothing', { exclude_modules: ['vision'] }],
    ['ensure_weight_tying', { ensure_weight_tying: true }],
    [
      'rank_pattern and alpha_pattern that change nothing',
      { rank_pattern: { q_proj: 2 }, alpha_pattern: { k_proj: 9 } },
    ],
    ['layers_pattern', { layers_to_transform: [0, 1], layers_pattern: 'layers' }],
    ['names that the model lacks beside ones that it has', { target_modules: ['q_proj', 'down_proj', 'wqkv'] }],
    ['options of later versions that are off', { use_bdlora: null, arrow_config: null, some_option: false }],
  ])('with %s load, and train on', async (_what, change) => {
    expectRead(await train(model, '--adapter', await writeAdapter(change)));
  });

  test('with .default. in the names of tensors, or in 16 bits, load', async () => {
    const rename = (name: string) => name.replace('.weight', '.default.weight');
    expectRead(await train(model, '--adapter', await writeAdapter({}, { rename })));
    expectRead(await train(model, '--adapter', await writeAdapter({}, { dtype: 'bf16' })));
  });

  test('with ranks of their own in some modules are asked, and not trained on', async () => {
    const overrides = { 'model.layers.1.self_attn.q_proj': { r: 3, alpha: 4 } };
    const adapter = await writeAdapter(
      { rank_pattern: { 'layers.1.self_attn.q_proj': 3 } },
      { lora: { ...LORA, overrides } },
    );
    expectSentence(await train(model, '--adapter', adapter), /other ranks or alphas in some modules \(rank_pattern/);
  });

  test.each([
    [{ modules_to_save: ['lm_head'] }, /lacks the tensor base_model\.model\.lm_head\.weight/],
    [{ lora_bias: true }, /lora_bias is true/],
    [{ init_lora_weights: 'pissa_niter_16' }, /init_lora_weights is "pissa_niter_16"/],
    [{ target_modules: ['lm_head', 'c_attn'] }, /names "lm_head"; this model has/],
  ])('with %j are refused by name', async (change, sentence) => {
    expectSentence(await train(model, '--adapter', await writeAdapter(change)), sentence);
  });
});

test('what an adapter to go on from brings along is said where the run asks for something else', async () => {
  const adapter = await writeAdapter({});
  const { err } = await train(model, '--adapter', adapter, '--lora_r', '64');
  expect(err).toMatch(/^lora_r is \d+, as the adapter to go on from has it, instead of 64\.$/m);
  expect((await train(model, '--adapter', adapter)).err).not.toContain('the adapter to go on from');
  // Given is given, though it is what holds without it.
  expect((await train(model, '--adapter', adapter, '--lora_r', '16')).err).toMatch(
    /^lora_r is \d, .* instead of 16\.$/m,
  );
  const given = ['plan', '--model', model, '--adapter', adapter, '--lora-r', '16', '--beta', '0.1'];
  const { code, err: planned } = await graft(...given);
  expect([code, planned]).toEqual([0, expect.stringMatching(/^lora_r is .*\nThese keys have no effect.* beta /m)]);
});

describe('an adapter on the Hub', () => {
  let hub: StandInHub;
  beforeAll(async () => {
    hub = await StandInHub.start();
    vi.stubEnv('HF_HUB_OFFLINE', '');
    vi.stubEnv('HF_ENDPOINT', hub.url);
    vi.stubEnv('HF_HOME', path('hf'));
    vi.stubEnv('XDG_CACHE_HOME', path('cache'));
  });
  afterAll(async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    await hub.close();
  });

  test('is read from there, and says what it is where it is none', async () => {
    const source = folder(await writeAdapter({}));
    const content = Object.fromEntries(
      await Promise.all((await source.list()).map(async (file) => [file, await source.read(file)] as const)),
    );
    hub.add('org/adapter', content);
    expectRead(await train(model, '--adapter', 'org/adapter'));
    expectSentence(await train(model, '--adapter', 'org/none'), /org\/none.*There is no folder org\/none here either/);
    expectSentence(await ask('org/adapter'), /org\/adapter is an adapter of org\/base and no model/);
  });
});

describe('meaning lost', () => {
  test('a tied head that is stored and differs is kept, and that is said', async () => {
    const tensors = await readAll(folder(model), 'model.safetensors');
    const embedding = tensors.find(({ name }) => name === 'model.embed_tokens.weight')!;
    const head = { ...embedding, name: 'lm_head.weight' };
    const same = changedModel({ 'model.safetensors': writeSafetensors([...tensors, head]) });
    expect((await train(same)).err).not.toMatch(/tie_word_embeddings/);
    const other = { ...head, bytes: embedding.bytes.map((byte, i) => (i === 401 ? byte ^ 1 : byte)) };
    const differing = changedModel({ 'model.safetensors': writeSafetensors([...tensors, other]) });
    expect((await train(differing)).err).toMatch(/tie_word_embeddings: true, but .* the stored head is used/);
    const parameters = async (to: string) =>
      (
        JSON.parse((await graft('plan', '--json', '--model', to, '--use_peft', 'false')).out) as {
          total_parameters: number;
        }
      ).total_parameters;
    expect((await parameters(differing)) - (await parameters(same))).toBe(40 * 32);
  });

  describe('--resume on a finished run', () => {
    let output: string;
    beforeAll(async () => {
      output = path('finished');
      const opened = await openModel(folder(model));
      const asked = parseRunConfig('', {
        model_name_or_path: model,
        dataset: path('rows.jsonl'),
        output_dir: output,
        max_steps: '3',
      });
      const summary = { steps: 3, epochs: 1, trainLoss: 1, bestEvalLoss: null, stopped: 'finished', seconds: 1 };
      const dataset_sha256 = await sha256(readFileSync(path('rows.jsonl')));
      write(output, {
        'run.yaml': formatRunConfig(resolveRun(asked, opened)),
        'graft.json': { summary, dataset_sha256, model_sha256: '0' },
      });
    });
    const resume = (...more: string[]) => graft('train', '--resume', '--output', output, ...more);

    test('as it was, is finished', async () => {
      expect(await resume()).toMatchObject({ code: 0, err: expect.stringMatching(/finished already/) });
      expect((await resume('--save_steps', '7')).code).toBe(0);
    });
    test.each([
      [['--learning_rate', '0.5'], /learning_rate is 0\.5, but the run to resume was started with 0\.0002/],
      [['--num_train_epochs', '9'], /num_train_epochs is 9/],
      [['--lora_target_modules', 'q_proj'], /lora_target_modules is \["q_proj"\]/],
    ])('with %j says what differs', async (more, sentence) => {
      expectSentence(await resume(...more), sentence);
    });
    test('with other data or another model says so', async () => {
      writeFileSync(path('other.jsonl'), tokenRows(9));
      expectSentence(await resume('--data', path('other.jsonl')), /The dataset is not the one that the finished run/);
      expectSentence(await resume('--model', changedModel({})), /The model is not the one that the finished run/);
    });
  });

  test('a run whose learning rate is 0 in every step is said to change nothing', async () => {
    const { err } = await train(model, '--max_steps', '1');
    expect(err).toMatch(
      /learning rate of its only step is 0, because a warm-up of 1 step begins with 0\. Set warmup_ratio: 0/,
    );
    expect((await train(model, '--max_steps', '1', '--warmup_ratio', '0')).err).not.toMatch(/changes nothing/);
    expect((await train(model, '--max_steps', '2')).err).not.toMatch(/changes nothing/);
  });
});

const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123456\n';
const PAGE = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>';

describe('sentences', () => {
  test.each([
    ['model.safetensors', POINTER, /model\.safetensors of .* is a Git LFS pointer.*git lfs pull/],
    ['model.safetensors', PAGE, /is a web page.*download it again, signed in/],
    ['model.safetensors', Buffer.from('PK\x03\x04and so on'), /is a zip archive, as PyTorch writes/],
    ['model.safetensors', Buffer.from('GGUF\x03\0\0\0'), /is a GGUF file, not a safetensors file/],
    ['model.safetensors', '', /is empty, not a safetensors file/],
    ['config.json', POINTER, /config\.json of .* is a Git LFS pointer/],
    ['config.json', PAGE, /config\.json of .* is a web page/],
    ['config.json', '{\n "model_type": "llama",\n "vocab_size": 4o\n}', /line 3, column 17: unexpected "o"/],
    ['tokenizer.json', PAGE, /tokenizer\.json of .* is a web page/],
    ['tokenizer.json', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), /tokenizer\.json of .* is compressed with gzip/],
  ])('%s that is %o', async (file, content, sentence) => {
    expectSentence(await ask(changedModel({ [file]: content })), sentence);
  });

  test('an index and a .gguf that are something else', async () => {
    const to = path('pointer');
    write(to, { 'config.json': readFileSync(join(model, 'config.json')), 'model.safetensors.index.json': POINTER });
    expectSentence(await ask(to), /model\.safetensors\.index\.json of .* is a Git LFS pointer/);
    write(path('ggufs'), { 'm.gguf': POINTER, 'n.gguf': readFileSync(join(model, 'model.safetensors')) });
    expectSentence(await ask(path('ggufs', 'm.gguf')), /m\.gguf of .* is a Git LFS pointer/);
    expectSentence(await ask(path('ggufs', 'n.gguf')), /n\.gguf of .* is a safetensors file/);
  });

  test('an adapter whose files are something else', async () => {
    for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
      const adapter = await writeAdapter({});
      write(adapter, { [file]: POINTER });
      expectSentence(await train(model, '--adapter', adapter), new RegExp(`${file} of .* is a Git LFS pointer`));
    }
    const pickled = path('pickled');
    write(pickled, { 'adapter_config.json': { peft_type: 'LORA' }, 'adapter_model.bin': 'x' });
    expectSentence(await train(model, '--adapter', pickled), /weights in adapter_model\.bin.*save_pretrained/);
  });

  test('4-bit weights of bitsandbytes without quantization_config', async () => {
    const tensors: StateTensor[] = (await readAll(folder(model), 'model.safetensors')).flatMap(
      (tensor): StateTensor[] => {
        if (!tensor.name.includes('_proj')) return [tensor];
        const elements = elementCount(tensor.shape);
        const packed = {
          ...tensor,
          dtype: 'u8' as const,
          shape: [elements / 2, 1],
          bytes: new Uint8Array(elements / 2),
        };
        const absmax = { name: `${tensor.name}.absmax`, dtype: 'f32' as const, shape: [1], bytes: new Uint8Array(4) };
        return [packed, absmax];
      },
    );
    const to = changedModel({ 'model.safetensors': writeSafetensors(tensors) });
    expectSentence(
      await plan(to),
      /quantised already \(bitsandbytes, 4 bits; there is .*absmax\).*no quantization_config/,
    );
  });

  test('what stands in the place of something else', async () => {
    const adapter = await writeAdapter({});
    const output = ['--output', path('new')];
    const cases: [Promise<{ code: number; err: string }>, RegExp][] = [
      [ask(adapter), /is an adapter of org\/base and no model: .*--model org\/base --adapter /],
      [graft('plan', '--model', adapter), /is an adapter of org\/base and no model/],
      [ask(model, '--adapter', model), /it is a model folder, which goes with --model/],
      [
        ask(model, '--adapter', join(adapter, 'adapter_model.safetensors')),
        /is a file; a folder is expected: name the folder that holds it, \//,
      ],
      [
        ask(join(model, 'model.safetensors')),
        /is a file; a model folder or a GGUF file \(\*\.gguf\) is expected: name the folder that holds it, \//,
      ],
      [
        ask(model, '--adapter', 'some/adapter'),
        /has no some\/adapter at revision main.*There is no folder some\/adapter/,
      ],
      [
        graft('train', '--model', model, '--data', 'some/rows', ...output),
        /There is no file some\/rows, and datasets are not fetched from the Hub yet: download/,
      ],
      [
        graft('train', '--model', model, '--data', root, ...output),
        /is a folder; a file is expected, such as .*\.jsonl/,
      ],
      [graft('train', '--model', model, '--data', path('run.yaml'), ...output), /is a YAML file, as run files are/],
    ];
    for (const [running, sentence] of cases) expectSentence(await running, sentence);
    const called = await graft('train', path('rows.jsonl'), '--model', model);
    expectSentence(called, /is a dataset by its name.*--data/, 2);
  });

  test.skipIf(process.platform === 'win32')('a pipe is read as a file is', async () => {
    const pipe = path('pipe.jsonl');
    execFileSync('mkfifo', [pipe]);
    const writer = spawn('sh', ['-c', 'cat "$1" > "$2"', 'sh', path('rows.jsonl'), pipe]);
    const piped = await graft('plan', '--json', '--model', model, '--data', pipe);
    writer.kill();
    expect(piped).toEqual(await graft('plan', '--json', '--model', model, '--data', path('rows.jsonl')));
  });
});
