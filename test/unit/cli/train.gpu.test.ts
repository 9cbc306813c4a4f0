import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import type { RunSummary, TrainEvent, TrainerState } from '../../../src/core/events';
import { byKernel } from '../../../src/core/profile';
import { readAdapter } from '../../../src/formats/peft';
import { readHeader } from '../../../src/formats/safetensors';
import { toFloat32 } from '../../../src/core/dtypes';
import { relativeError } from '../../support/compare';
import { hasReference, reference } from '../../support/reference';
import { tinyModel, tokenRows } from '../recipes/support';
import { graft, jsonLines, startGraft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-train-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('rows.jsonl'), tokenRows(24));
  writeFileSync(path('run.yaml'), RUN);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const RUN = `
learning_rate: 5.0e-3
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
num_train_epochs: 2
save_steps: 1
lora_r: 4
lora_dropout: 0.1
`;
const STEPS = 12;
/** Twenty in the stage `kills`. */
const KILLS = Number(process.env['GRAFT_KILLS'] ?? 3);

const train = (output: string, ...more: string[]) => [
  ...['train', path('run.yaml'), '--model', path('model'), '--data', path('rows.jsonl')],
  ...['--output', path(output), '--json', ...more],
];
const adapter = (output: string) => readFileSync(path(`${output}/adapter_model.safetensors`));

describe('graft train', () => {
  beforeAll(async () => {
    const { code, out } = await graft(...train('whole'));
    expect(code).toBe(0);
    expect(jsonLines<TrainEvent>(out).filter(({ kind }) => kind === 'step')).toHaveLength(STEPS);
  });

  test('says what it does on standard error, and nothing on standard output without --json', async () => {
    const { code, out, err } = await graft(...train('person').filter((word) => word !== '--json'));
    expect([code, out]).toEqual([0, '']);
    expect(err).toMatch(/GPU: .*\n[^]*Memory: .*12 steps\n[^]*step 12\/12 {2}loss \d+\.\d{4}[^]*the result is in/);
    expect(adapter('person')).toEqual(adapter('whole'));
  });

  test('shows where the time of a step goes, and trains as ever', async () => {
    const { code, out } = await graft(...train('profiled', '--profile'));
    expect(code).toBe(0);
    const profiles = jsonLines<TrainEvent>(out).filter((event) => event.kind === 'profile');
    expect(profiles.map(({ step }) => step)).toEqual([3]);
    const kernels = new Map(byKernel(profiles[0]!.profile).map(({ kernel, calls }) => [kernel, calls]));
    expect([kernels.get('optimizer/adamw'), kernels.get('rows/embedding')]).toEqual([1, 2]); // of two micro-batches
    expect(adapter('profiled')).toEqual(adapter('whole'));
    const person = await graft(
      ...train('printed', '--profile', '--max_steps', '2').filter((word) => word !== '--json'),
    );
    expect(person.out).toMatch(/^Step 2: [\d.]+ ms in kernels[^]*\nkernel +calls +ms +share[^]*\noptimizer\/adamw +1 /);
  });

  test('refuses to write over a run, resumes a finished one at once, and starts anew when told', async () => {
    const refused = await graft(...train('whole'));
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/holds a run already/)]);
    const resumed = await graft('train', '--resume', '--output', path('whole'));
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringMatching(/finished already/)]);
    const before = adapter('whole');
    const anew = await graft(...train('whole', '--overwrite'));
    expect(anew.code).toBe(0);
    expect(adapter('whole')).toEqual(before);
  });

  test('does not write over a run that has finished since it looked', async () => {
    cpSync(path('whole'), path('finished'), { recursive: true });
    const kept = ['graft.json', 'run.yaml', 'adapter_model.safetensors'];
    kept.forEach((file) => renameSync(path(`finished/${file}`), path(`finished-${file}`)));
    const pipe = path('rows-as-they-come');
    execFileSync('mkfifo', [pipe]);
    const late = startGraft(train('finished').map((word) => (word === path('rows.jsonl') ? pipe : word)));
    const end = await open(pipe, 'w'); // once it reads, and has looked at the folder
    kept.forEach((file) => renameSync(path(`finished-${file}`), path(`finished/${file}`)));
    await end.writeFile(readFileSync(path('rows.jsonl')));
    await end.close();
    const { code, err } = await late.ended;
    expect([code, err]).toEqual([1, expect.stringMatching(/holds a run already/)]);
    expect(adapter('finished')).toEqual(adapter('whole'));
  });

  test('says of a finished run that its adapter is gone', async () => {
    cpSync(path('whole'), path('emptied'), { recursive: true });
    rmSync(path('emptied/adapter_model.safetensors'));
    const { code, err } = await graft('train', '--resume', '--output', path('emptied'));
    expect(code).toBe(1);
    expect(err).toMatch(/has finished, and adapter_model\.safetensors of it is gone: bring back/);
  });

  test(`killed at ${KILLS} random moments and resumed, ends in the same adapter bytes`, async () => {
    const seed = process.pid;
    let kills = 0;
    // On a fast GPU a run may be done before the signal comes; such an attempt counts for nothing.
    for (let attempt = 0; kills < KILLS; attempt++) {
      expect(attempt).toBeLessThan(10 * KILLS);
      const output = `killed-${attempt}`;
      // Spread over all steps; how long after a step's report is left to chance and to the machine.
      const step = 1 + (attempt % (STEPS - 2));
      const delay = ((seed + attempt * 7919) % 400) / 10;
      const started = startGraft(train(output), (line) => {
        const event = JSON.parse(line) as TrainEvent;
        if (event.kind === 'step' && event.row.step === step) setTimeout(() => started.child.kill('SIGKILL'), delay);
      });
      const { killedBy } = await started.ended;
      if (killedBy === 'SIGKILL') kills++;
      const { code, err } = await graft('train', '--resume', '--output', path(output), '--json');
      expect(code, err).toBe(0);
      expect(adapter(output).equals(adapter('whole')), `attempt ${attempt}: ${delay} ms after step ${step}`).toBe(true);
      const log = (name: string) =>
        (JSON.parse(readFileSync(path(`${name}/trainer_state.json`), 'utf8')) as TrainerState).log_history;
      expect(log(output)).toEqual(log('whole'));
    }
  });

  test('packs short rows, and goes on after a kill as if there had been none', async () => {
    const packing = ['--packing', 'true', '--max_length', '32', '--num_train_epochs', '10'];
    const whole = await graft(...train('packed', ...packing));
    expect(whole.code, whole.err).toBe(0);
    expect(whole.out).toMatch(/24 rows are packed into \d sequences of up to 32 tokens/);
    const started = startGraft(train('packed-killed', ...packing), (line) => {
      const event = JSON.parse(line) as TrainEvent;
      if (event.kind === 'step' && event.row.step === 2) started.child.kill('SIGKILL');
    });
    expect((await started.ended).killedBy).toBe('SIGKILL');
    const { code, err } = await graft('train', '--resume', '--output', path('packed-killed'), '--json');
    expect(code, err).toBe(0);
    expect(adapter('packed-killed')).toEqual(adapter('packed'));
  });

  test('stopped by Ctrl-C writes a checkpoint, exits with 130 and goes on when told', async () => {
    const started = startGraft(train('stopped', '--save_steps', '100', '--save_seconds', '0'), (line) => {
      const event = JSON.parse(line) as TrainEvent;
      if (event.kind === 'step' && event.row.step === 5) started.child.kill('SIGINT');
    });
    const { code, out } = await started.ended;
    expect(code).toBe(130);
    const summary = jsonLines<RunSummary & { kind: string }>(out).find(({ kind }) => kind === 'summary');
    expect(summary).toMatchObject({ stopped: 'cancelled' });
    expect(existsSync(path('stopped/checkpoint-0'))).toBe(true);
    expect((await graft(...train('stopped', '--resume'))).code).toBe(0);
    expect(adapter('stopped')).toEqual(adapter('whole'));
  });

  test('a loss that becomes infinite is one line that says what to do', async () => {
    const { code, err } = await graft(...train('wild', '--learning_rate', '1e30', '--lr_scheduler_type', 'constant'));
    expect(code).toBe(1);
    expect(err).toMatch(
      /\n\{"kind":"error","code":"diverged","message":"At step \d+ the loss is .*: lower learning_rate.*checkpoint of step \d+ is kept\."\}\n$/,
    );
    expect(err).not.toMatch(/\n\s+at /);
  });
});

interface MicroBatch {
  input_ids: number[][];
  labels: number[][];
}

interface Trajectory {
  settings: Record<string, unknown>;
  steps: { loss: number; grad_norm: number; learning_rate: number; micro_batches?: MicroBatch[] }[];
}

/** Settings of a trajectory that are keys of the run file. */
const SETTINGS = [
  'learning_rate',
  'lr_scheduler_type',
  'warmup_steps',
  'max_steps',
  'weight_decay',
  'max_grad_norm',
  'gradient_accumulation_steps',
  'per_device_train_batch_size',
  'layers_to_transform',
];

const readJson = <T>(file: string) => JSON.parse(readFileSync(file, 'utf8')) as T;

describe.skipIf(!hasReference)('trajectories recorded from PEFT', () => {
  /** Trains as the golden did, and holds every step and the adapter at the end against it. */
  async function follow(
    name: string,
    golden: (file: string) => string,
    batches: MicroBatch[],
    model = reference('models/stories260K'),
  ): Promise<void> {
    const { settings, steps } = readJson<Trajectory>(golden('trajectory.json'));
    const rows = batches.flatMap(({ input_ids, labels }) =>
      input_ids.map((ids, i) => ({ input_ids: ids, labels: labels[i] })),
    );
    writeFileSync(path(`${name}.jsonl`), rows.map((row) => JSON.stringify(row)).join('\n'));
    const shape = { per_device_train_batch_size: 2, gradient_accumulation_steps: 2, ...settings };
    const given = SETTINGS.filter((key) => key in shape);
    const lines = given.map((key) => `${key}: ${JSON.stringify(shape[key as keyof typeof shape])}\n`);
    if (settings['load_in_4bit']) {
      lines.push(`load_in_4bit: true\nuse_bnb_nested_quant: ${String(settings['bnb_4bit_use_double_quant'])}\n`);
    }
    writeFileSync(path(`${name}.yaml`), lines.join(''));
    const { code, err } = await graft(
      ...['train', path(`${name}.yaml`), '--model', model, '--data', path(`${name}.jsonl`)],
      ...['--adapter', golden('adapter_init'), '--shuffle', 'false', '--output', path(name)],
    );
    expect(code, err).toBe(0);

    const state = readJson<TrainerState>(path(`${name}/trainer_state.json`));
    expect(state.log_history).toHaveLength(steps.length);
    state.log_history.forEach(({ loss, grad_norm, learning_rate }, i) => {
      const expected = steps[i]!;
      expect(Math.abs(loss! / expected.loss - 1), `loss of step ${i + 1}`).toBeLessThan(1e-4);
      expect(Math.abs(grad_norm! / expected.grad_norm - 1), `gradient norm of step ${i + 1}`).toBeLessThan(1e-4);
      expect(learning_rate).toBe(expected.learning_rate);
    });
    const actual = await readAdapter(await openFolder(path(name)));
    const final = await readAdapter(await openFolder(golden('adapter_final')));
    const expected = new Map(final.tensors.map((tensor) => [tensor.name, toFloat32(tensor.bytes, 'f32')]));
    expect(actual.tensors.map((tensor) => tensor.name).sort()).toEqual([...expected.keys()].sort());
    for (const { name: tensor, bytes } of actual.tensors) {
      expect(relativeError(toFloat32(bytes, 'f32'), expected.get(tensor)!), tensor).toBeLessThan(1e-4);
    }
  }

  test.each(['lora_all', 'lora_qv', 'rslora', 'dora', 'qlora_nf4', 'qlora_nf4_dq'])('%s', async (name) => {
    const golden = (file: string) => reference('golden/adapters', name, file);
    const { steps } = readJson<Trajectory>(golden('trajectory.json'));
    await follow(
      name,
      golden,
      steps.flatMap(({ micro_batches }) => micro_batches!),
    );
  });

  test.each(['layers_to_transform', 'exclude_modules', 'target_regex'])('%s', async (name) => {
    const golden = (file: string) => reference('golden/peft_variants', name, file);
    const batches = reference('golden/peft_variants/batches_stories260K.json');
    await follow(name, golden, readJson<{ steps: MicroBatch[][] }>(batches).steps.flat());
  });

  test.each([
    ['modules_to_save_untied', 'tinyllama'],
    ['modules_to_save_tied_head', 'stories260K'],
    ['modules_to_save_tied_both', 'stories260K'],
    ['trainable_tokens', 'stories260K'],
    ['trainable_tokens_untied', 'tinyllama'],
  ])('%s', async (name, model) => {
    const golden = (file: string) => reference('golden/peft_variants', name, file);
    const batches = readJson<{ steps: MicroBatch[][] }>(reference(`golden/peft_variants/batches_${model}.json`));
    const folder = model === 'tinyllama' ? 'golden/families/tinyllama' : 'models/stories260K';
    await follow(name, golden, batches.steps.flat(), reference(folder));
    // The files name the same tensors, a tied table under both names, and the configs the same modules.
    const header = async (folder: string) => readHeader(await openFolder(folder), 'adapter_model.safetensors');
    const names = async (folder: string) => (await header(folder)).tensors.map((tensor) => tensor.name).sort();
    expect(await names(path(name))).toEqual(await names(golden('adapter_final')));
    const config = (folder: string) => readJson<Record<string, unknown>>(join(folder, 'adapter_config.json'));
    const [ours, theirs] = [config(path(name)), config(golden('adapter_final'))];
    expect(ours['modules_to_save']).toEqual(theirs['modules_to_save']);
    expect(ours['ensure_weight_tying'] ?? false).toBe(theirs['ensure_weight_tying']);
    expect(ours['trainable_token_indices']).toEqual(theirs['trainable_token_indices']);
  });
});
