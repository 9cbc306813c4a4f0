/** Preferences through the built command line: TRL's trajectories, resuming, evaluation, and what is refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import { toFloat32 } from '../../../src/core/dtypes';
import type { LogRow, TrainEvent, TrainerState } from '../../../src/core/events';
import { readAdapter } from '../../../src/formats/peft';
import { relativeError } from '../../support/compare';
import { hasReference, reference } from '../../support/reference';
import { tinyModel, tokenRows } from '../recipes/support';
import { graft, jsonLines, runHere, startGraft, writeFolder } from './support';

const METRICS = ['rewards/chosen', 'rewards/rejected', 'rewards/margins', 'logps/chosen', 'logps/rejected'] as const;

let root: string;
const path = (name: string) => join(root, name);
const log = (output: string): LogRow[] =>
  (JSON.parse(readFileSync(path(`${output}/trainer_state.json`), 'utf8')) as TrainerState).log_history;
const adapter = (output: string) => readFileSync(path(`${output}/adapter_model.safetensors`));

/** Pairs of one prompt and two answers of different length, as token ids of a vocabulary of 40. */
function pairRows(count: number, extra: (i: number) => object = () => ({})): string {
  const rows = Array.from({ length: count }, (_, i) => {
    const side = (salt: number, length: number) => {
      const ids = Array.from({ length }, (_, k) => (k < 3 ? 1 + ((i + k) % 30) : (salt * 7 + i * 3 + k * k) % 40));
      return { ids, labels: ids.map((id, k) => (k < 3 ? -100 : id)) };
    };
    const [chosen, rejected] = [side(1, 6 + (i % 5)), side(2, 9 - (i % 3))];
    return JSON.stringify({
      chosen_input_ids: chosen.ids,
      chosen_labels: chosen.labels,
      rejected_input_ids: rejected.ids,
      rejected_labels: rejected.labels,
      ...extra(i),
    });
  });
  return rows.join('\n');
}

const RUN = `
method: dpo
learning_rate: 5.0e-3
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
num_train_epochs: 2
save_steps: 1
lora_r: 4
`;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-preference-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('pairs.jsonl'), pairRows(14));
  writeFileSync(path('run.yaml'), RUN);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const train = (output: string, ...more: string[]) => [
  ...['train', path('run.yaml'), '--model', path('model'), '--data', path('pairs.jsonl')],
  ...['--output', path(output), '--json', ...more],
];

interface Trajectory {
  settings: Record<string, unknown>;
  steps: (Record<'loss' | 'grad_norm' | 'learning_rate' | 'rewards/accuracies' | (typeof METRICS)[number], number> & {
    micro_batches: Record<`${'chosen' | 'rejected'}_${'ids' | 'completion_mask'}`, number[][]>[];
  })[];
}

/** Settings of a trajectory that are keys of the run file. */
const SETTINGS = [
  ...['beta', 'learning_rate', 'lr_scheduler_type', 'warmup_steps', 'max_steps', 'weight_decay', 'max_grad_norm'],
  ...['gradient_accumulation_steps', 'per_device_train_batch_size'],
];

describe.skipIf(!hasReference)('trajectories recorded from TRL', () => {
  test.each([
    { name: 'dpo_sigmoid', init: 'adapter_init_zero' },
    { name: 'dpo_sigmoid_ref_adapter', init: 'adapter_init_rand' },
  ])('$name', async ({ name, init }) => {
    const golden = (...file: string[]) => reference('golden/preference', ...file);
    const { settings, steps } = JSON.parse(readFileSync(golden(name, 'trajectory.json'), 'utf8')) as Trajectory;
    const labels = (ids: number[], mask: number[]) => ids.map((id, i) => (mask[i] === 1 ? id : -100));
    const rows = steps.flatMap(({ micro_batches }) =>
      micro_batches.flatMap((batch) =>
        batch.chosen_ids.map((ids, i) => ({
          chosen_input_ids: ids,
          chosen_labels: labels(ids, batch.chosen_completion_mask[i]!),
          rejected_input_ids: batch.rejected_ids[i]!,
          rejected_labels: labels(batch.rejected_ids[i]!, batch.rejected_completion_mask[i]!),
        })),
      ),
    );
    writeFileSync(path(`${name}.jsonl`), rows.map((row) => JSON.stringify(row)).join('\n'));
    const lines = SETTINGS.map((key) => `${key}: ${String(settings[key])}\n`);
    writeFileSync(path(`${name}.yaml`), `method: dpo\nlora_dropout: 0\n${lines.join('')}`);
    const { code, err } = await graft(
      ...['train', path(`${name}.yaml`), '--model', reference('models/stories260K'), '--data', path(`${name}.jsonl`)],
      ...['--adapter', golden(init), '--shuffle', 'false', '--output', path(name)],
    );
    expect(code, err).toBe(0);

    expect(log(name)).toHaveLength(steps.length);
    log(name).forEach((row, i) => {
      const expected = steps[i]!;
      const off = (key: 'loss' | 'grad_norm' | (typeof METRICS)[number]) =>
        Math.abs(row[key]! - expected[key]) / Math.max(Math.abs(expected[key]), 1e-30);
      for (const key of ['loss', 'grad_norm', 'logps/chosen', 'logps/rejected'] as const) {
        expect(off(key), `${key} of step ${i + 1}`).toBeLessThan(1e-4);
      }
      // Rewards are differences of log-probabilities, which are a hundred times larger.
      for (const key of METRICS.slice(0, 3)) {
        expect(Math.abs(row[key]! - expected[key]), `${key} of step ${i + 1}`).toBeLessThan(
          2e-5 + 1e-4 * Math.abs(expected[key]),
        );
      }
      expect(row['rewards/accuracies'], `accuracy of step ${i + 1}`).toBe(expected['rewards/accuracies']);
      expect(row.learning_rate).toBe(expected.learning_rate);
    });
    const actual = await readAdapter(await openFolder(path(name)));
    const final = await readAdapter(await openFolder(golden(name, 'adapter_final')));
    const expected = new Map(final.tensors.map((tensor) => [tensor.name, toFloat32(tensor.bytes, 'f32')]));
    expect(actual.tensors.map((tensor) => tensor.name).sort()).toEqual([...expected.keys()].sort());
    for (const { name: tensor, bytes } of actual.tensors) {
      expect(relativeError(toFloat32(bytes, 'f32'), expected.get(tensor)!), tensor).toBeLessThan(1e-4);
    }
  });
});

describe('graft train with method: dpo', () => {
  test('goes on from an adapter, killed and resumed, to the bytes and the log of a run that never stopped', async () => {
    const first = await graft(...train('first', '--max_steps', '2'));
    expect(first.code, first.err).toBe(0);
    const more = ['--adapter', path('first'), '--logging_steps', '2'];
    const whole = await graft(...train('whole', ...more));
    expect(whole.code, whole.err).toBe(0);
    const { totalBytes, bytes, dispatches } = jsonLines<TrainEvent>(whole.out).find((event) => event.kind === 'plan')!;
    const planArgs = ['plan', path('run.yaml'), '--model', path('model'), '--data', path('pairs.jsonl'), '--json'];
    const planned = await runHere(...planArgs, '--adapter', path('first'), '--lora_r', '64');
    expect(jsonLines(planned.out)[0]).toMatchObject({ total_bytes: totalBytes, bytes, dispatches });
    expect(planned.err).toMatch(/lora_r is 4, as the adapter to go on from has it, instead of 64/);
    // What it starts from is the reference: nothing is gained yet at the first step.
    const [start] = jsonLines<TrainEvent>(
      (await graft(...train('once', '--adapter', path('first'), '--max_steps', '1'))).out,
    )
      .filter((event) => event.kind === 'step')
      .map(({ row }) => row);
    expect(start).toMatchObject({ 'rewards/chosen': 0, 'rewards/margins': 0, 'rewards/accuracies': 0 });
    expect(start!.loss).toBeCloseTo(Math.log(2), 6);

    const started = startGraft(train('killed', ...more), (line) => {
      const event = JSON.parse(line) as TrainEvent;
      if (event.kind === 'checkpoint' && event.step === 3) started.child.kill('SIGKILL'); // between two rows of the log
    });
    expect((await started.ended).killedBy).toBe('SIGKILL');
    const { code, err } = await graft('train', '--resume', '--output', path('killed'), '--json');
    expect(code, err).toBe(0);
    expect(adapter('killed').equals(adapter('whole'))).toBe(true);
    expect(log('killed')).toEqual(log('whole'));
    expect(Object.keys(log('whole')[0]!)).toEqual(expect.arrayContaining([...METRICS, 'rewards/accuracies']));
  });

  test('evaluates held-out pairs', async () => {
    const { code, err } = await graft(...train('held', '--val_set_size', '3', '--max_steps', '2', '--eval_steps', '2'));
    expect(code, err).toBe(0);
    const row = log('held').find(({ eval_loss }) => eval_loss !== undefined)!;
    expect(row.eval_loss).toBeGreaterThan(0);
    expect(row['eval_rewards/margins']! - row['eval_rewards/chosen']! + row['eval_rewards/rejected']!).toBeCloseTo(
      0,
      5,
    );
    expect(Object.keys(row)).toEqual(expect.arrayContaining(['eval_rewards/accuracies', 'eval_logps/chosen']));
  });

  test.each([
    ['single answers', tokenRows(4), [], /trains on pairs \(chosen_input_ids.*set method: sft/],
    ['a pair file', pairRows(4), ['--method', 'sft'], /has chosen_input_ids.*set method: dpo/],
    [
      'pairs of text',
      '{"prompt": "a", "chosen": "b", "rejected": "c"}',
      [],
      /chosen as text: method: dpo takes pre-tokenised/,
    ],
    [
      'an id that the model lacks',
      pairRows(4, (i) => (i === 2 ? { rejected_labels: [-100, 999], rejected_input_ids: [1, 2] } : {})),
      [],
      /row 3 holds the token id 999 in rejected_labels, but the model has 40 tokens only/,
    ],
    [
      'labels that train nothing',
      pairRows(4, (i) => (i === 2 ? { chosen_labels: [1, -100], chosen_input_ids: [1, 2] } : {})),
      [],
      /row 3 has nothing to train on: every label of chosen_labels after the first is -100/,
    ],
    ['packing', pairRows(4), ['--packing', 'true'], /packing: true is for method: sft/],
    ['label_smoothing', pairRows(4), ['--label_smoothing', '0.1'], /set label_smoothing: 0/],
    ['another loss', pairRows(4), ['--loss_type', 'ipo'], /loss_type must be one of sigmoid/],
    ['beta without dpo', tokenRows(4), ['--method', 'sft', '--beta', '0.3'], /beta is for method: dpo/],
    [
      'references in some rows',
      pairRows(4, (i) => (i === 2 ? {} : { ref_chosen_logps: -3, ref_rejected_logps: -4 })),
      [],
      /has no ref_chosen_logps and ref_rejected_logps, unlike the rows before it/,
    ],
  ] as const)('refuses %s', async (name, rows, more, expected) => {
    const file = path(`${name.replaceAll(' ', '-')}.jsonl`);
    writeFileSync(file, rows);
    const args = ['train', path('run.yaml'), '--model', path('model'), '--data', file, '--output', path('refused')];
    const { code, err } = await runHere(...args, '--max_bad_rows', '0', ...more);
    expect(code).toBe(name === 'another loss' ? 2 : 1); // an impossible value is a wrong call
    expect(err).toMatch(expected);
  });
});
