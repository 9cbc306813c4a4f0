/** Distillation through the built command line: recorded trajectories, plans, resuming, and what is refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import { toFloat32 } from '../../../src/core/dtypes';
import type { LogRow, TrainEvent, TrainerState } from '../../../src/core/events';
import { readAdapter } from '../../../src/formats/peft';
import { relativeError } from '../../support/compare';
import { folder, goldenTensors } from '../../support/folder';
import { hasReference, reference } from '../../support/reference';
import { tinyModel } from '../recipes/support';
import { graft, jsonLines, runHere, startGraft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);
const log = (output: string): LogRow[] =>
  (JSON.parse(readFileSync(path(`${output}/trainer_state.json`), 'utf8')) as TrainerState).log_history;
const adapter = (output: string) => readFileSync(path(`${output}/adapter_model.safetensors`));

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-distillation-'));
  await writeFolder(path('model'), await tinyModel());
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface MicroBatch {
  readonly input_ids: number[][];
  readonly labels: number[][];
  readonly attention_mask: number[][];
}

interface Trajectory {
  readonly settings: Record<string, unknown> & { readonly top_k?: number; readonly add_tail?: boolean };
  readonly steps: readonly Record<'loss' | 'grad_norm' | 'learning_rate', number>[];
}

/** Settings of a trajectory that are keys of the run file. */
const SETTINGS = [
  ...['beta', 'temperature', 'learning_rate', 'lr_scheduler_type', 'warmup_steps', 'max_steps', 'weight_decay'],
  ...['adam_beta1', 'adam_beta2', 'adam_epsilon', 'max_grad_norm'],
];

const VOCAB = 256;

describe.skipIf(!hasReference)('trajectories of TRL’s losses', () => {
  const golden = (...file: string[]) => reference('golden/distillation', ...file);
  const family = (name: string) => reference('golden/families', name);
  const readGolden = (name: string) => JSON.parse(readFileSync(golden(name), 'utf8')) as unknown;
  /** The rows of all steps, and the teacher's logits for them, f32 [rows, T, V]. */
  let rows: { ids: number[]; labels: number[]; mask: number[] }[];
  let logits: Float32Array;

  beforeAll(async () => {
    const { steps } = readGolden('batches.json') as { steps: MicroBatch[][] };
    rows = steps
      .flat()
      .flatMap(({ input_ids, labels, attention_mask }) =>
        input_ids.map((ids, i) => ({ ids, labels: labels[i]!, mask: attention_mask[i]! })),
      );
    writeFileSync(path('ids.json'), JSON.stringify({ input_ids: rows.map(({ ids }) => ids) }));
    const output = path('logits.safetensors');
    const { code, err } = await graft(
      'forward',
      '--model',
      family('llama3'),
      '--input',
      path('ids.json'),
      '--output',
      output,
    );
    expect(code, err).toBe(0);
    logits = Float32Array.from((await goldenTensors(folder(root), 'logits.safetensors')).get('logits')!.values);
  });

  /** The teacher's `count` likeliest tokens after each token of a row, likeliest first. */
  function teacherOf(row: number, count: number): { ids: number[][]; logProbs: number[][] } {
    const { length } = rows[row]!.ids;
    const positions = Array.from({ length }, (_, i) => {
      const own = Array.from(logits.subarray((row * length + i) * VOCAB, (row * length + i + 1) * VOCAB));
      const lse = Math.log(own.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const ids = own.map((_, id) => id).sort((a, b) => own[b]! - own[a]!);
      return ids.slice(0, count).map((id) => ({ id, logProb: own[id]! - lse }));
    });
    return {
      ids: positions.map((tokens) => tokens.map(({ id }) => id)),
      logProbs: positions.map((tokens) => tokens.map(({ logProb }) => logProb)),
    };
  }

  test.each([
    'lora_topk16_renorm',
    'lora_topk16_tail',
    // All tokens of the vocabulary: then both distributions are whole.
    'lora_beta0.0_t2',
    'lora_beta0.5_t1',
    'lora_beta1.0_t1',
    'full_beta0.5_t1',
  ])('%s', async (name) => {
    const { settings, steps } = readGolden(`${name}.json`) as Trajectory;
    const { top_k = VOCAB, add_tail = false } = settings;
    const lines = rows.map(({ ids, labels, mask }, i) => {
      const teacher = teacherOf(i, top_k);
      // Padding is left out by the row's mask.
      const fields = { input_ids: ids, labels, attention_mask: mask };
      return JSON.stringify({ ...fields, teacher_ids: teacher.ids, teacher_logprobs: teacher.logProbs });
    });
    writeFileSync(path(`${name}.jsonl`), lines.join('\n'));
    const isFull = name.startsWith('full');
    const keys = {
      ...Object.fromEntries(SETTINGS.map((key) => [key, settings[key]])),
      ...{ method: 'distill', loss_add_tail: add_tail, per_device_train_batch_size: rows.length / 24 },
      ...{ gradient_accumulation_steps: 2, lora_dropout: 0, use_peft: !isFull },
    };
    writeFileSync(
      path(`${name}.yaml`),
      Object.entries(keys)
        .map(([key, value]) => `${key}: ${String(value)}\n`)
        .join(''),
    );
    const { code, err } = await graft(
      ...['train', path(`${name}.yaml`), '--model', family('qwen3'), '--data', path(`${name}.jsonl`)],
      ...(isFull ? [] : ['--adapter', golden('adapter_init')]),
      ...['--shuffle', 'false', '--output', path(name)],
    );
    expect(code, err).toBe(0);

    expect(log(name)).toHaveLength(steps.length);
    log(name).forEach((row, i) => {
      for (const key of ['loss', 'grad_norm'] as const) {
        const off = Math.abs(row[key]! / steps[i]![key] - 1);
        expect(off, `${key} of step ${i + 1}`).toBeLessThan(1e-4);
      }
      expect(row.learning_rate).toBeCloseTo(steps[i]!.learning_rate, 12);
    });
    if (isFull) return;
    const actual = await readAdapter(await openFolder(path(name)));
    const final = await goldenTensors(folder(golden()), `${name}.final.safetensors`);
    expect(actual.tensors.map((tensor) => tensor.name).sort()).toEqual([...final.keys()].sort());
    for (const { name: tensor, bytes } of actual.tensors) {
      expect(relativeError(toFloat32(bytes, 'f32'), final.get(tensor)!.values), tensor).toBeLessThan(1e-4);
    }
  });
});

/** Rows of a vocabulary of 40 with three tokens of a teacher at each position, two at some. */
function teacherRow(i: number): Record<string, unknown> & { teacher_ids: number[][]; teacher_logprobs: number[][] } {
  const input_ids = Array.from({ length: 6 + (i % 5) }, (_, k) => (3 * i + k * k + 1) % 40);
  const counts = input_ids.map((_, k) => (k % 4 === 1 ? 2 : 3));
  return {
    input_ids,
    labels: input_ids.map((id, k) => (k < 3 ? -100 : id)),
    teacher_ids: counts.map((count, k) => Array.from({ length: count }, (_, n) => (i + k + 11 * n) % 40)),
    teacher_logprobs: counts.map((count) => Array.from({ length: count }, (_, n) => -1 - n)),
  };
}

const RUN = `
method: distill
learning_rate: 5.0e-3
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
num_train_epochs: 2
save_steps: 1
lora_r: 4
`;

describe('graft train with method: distill', () => {
  const args = (output: string, data = 'rows.jsonl') => [
    ...['train', path('run.yaml'), '--model', path('model'), '--data', path(data)],
    ...['--output', path(output), '--json'],
  ];

  beforeAll(() => {
    writeFileSync(path('run.yaml'), RUN);
    const rows = Array.from({ length: 14 }, (_, i) => JSON.stringify(teacherRow(i)));
    writeFileSync(path('rows.jsonl'), rows.join('\n'));
  });

  test('takes what its plan said, and killed and resumed leaves the bytes of a run that never stopped', async () => {
    const whole = await graft(...args('whole'), '--val_set_size', '3', '--eval_steps', '2');
    expect(whole.code, whole.err).toBe(0);
    expect(log('whole').find(({ eval_loss }) => eval_loss !== undefined)!.eval_loss).toBeGreaterThan(0);
    const { totalBytes, bytes } = jsonLines<TrainEvent>(whole.out).find((event) => event.kind === 'plan')!;
    const planArgs = ['plan', path('run.yaml'), '--model', path('model'), '--data', path('rows.jsonl'), '--json'];
    const planned = await runHere(...planArgs, '--val_set_size', '3');
    expect(jsonLines(planned.out)[0]).toMatchObject({ total_bytes: totalBytes, bytes });

    const started = startGraft([...args('killed'), '--val_set_size', '3', '--eval_steps', '2'], (line) => {
      const event = JSON.parse(line) as TrainEvent;
      if (event.kind === 'checkpoint' && event.step === 2) started.child.kill('SIGKILL');
    });
    expect((await started.ended).killedBy).toBe('SIGKILL');
    const { code, err } = await graft('train', '--resume', '--output', path('killed'), '--json');
    expect(code, err).toBe(0);
    expect(adapter('killed').equals(adapter('whole'))).toBe(true);
    // Its run file says all that it was run with: beta is that of this method.
    expect(readFileSync(path('whole/run.yaml'), 'utf8')).toMatch(/^beta: 0$/m);
  });

  const change = (changes: object) => JSON.stringify({ ...teacherRow(1), ...changes });
  /** The teacher's lists with one position in place of the fifth. */
  const fifth = (field: 'teacher_ids' | 'teacher_logprobs', value: unknown) =>
    change({ [field]: teacherRow(1)[field].with(4, value as number[]) });

  test.each([
    [
      'no teacher',
      change({ teacher_ids: null, teacher_logprobs: null }),
      /without teacher_ids and teacher_logprobs: method: distill/,
    ],
    ['no log-probabilities', change({ teacher_logprobs: null }), /has no teacher_logprobs, the other half/],
    ['no ids of the teacher', change({ teacher_ids: null }), /has no teacher_ids, the other half/],
    [
      'text',
      '{"prompt": "a", "completion": "b"}',
      /method: distill takes pre-tokenised rows \(input_ids, labels, teacher_ids/,
    ],
    ['input_ids of null', change({ input_ids: null }), /"labels.*and no input_ids: method: distill takes/],
    [
      'positions that begin anew',
      change({ position_ids: [0, 1, 2, 0, 1, 2, 3] }),
      /several packed texts in one row \(position_ids don't count up from 0\): write each as a row of its own\./,
    ],
    ['no labels', change({ labels: null }), /has input_ids without labels/],
    ['ids that are no list', change({ teacher_ids: 3 }), /must have a list for each token in teacher_ids, but has 3/],
    ['too few positions', change({ teacher_ids: [[1, 2]] }), /has 7 input_ids, but 1 lists in teacher_ids/],
    ['a position of text', fifth('teacher_ids', 'a'), /list of token ids at position 5 of teacher_ids, but has .*a/],
    [
      'a position without tokens',
      fifth('teacher_ids', []),
      /list of token ids at position 5 of teacher_ids, but has \[\]/,
    ],
    ['a negative id', fifth('teacher_ids', [1, -2, 3]), /list of token ids at position 5 of teacher_ids/],
    ['a fraction', fifth('teacher_ids', [1, 2.5, 3]), /list of token ids at position 5 of teacher_ids/],
    [
      'an id that the model lacks',
      fifth('teacher_ids', [1, 40, 3]),
      /token id 40 in teacher_ids, but the model has 40 tokens only/,
    ],
    [
      'an id that 32 bits do not hold',
      fifth('teacher_ids', [1, 4_294_967_297, 3]),
      /token id 4294967297 at position 5 of teacher_ids, and no model has so many/,
    ],
    ['an id twice', fifth('teacher_ids', [1, 5, 1]), /has the token 1 twice at position 5 of teacher_ids/],
    ['null', fifth('teacher_logprobs', [-1, null, -3]), /log-probabilities at position 5 of teacher_logprobs/],
    [
      'fewer log-probabilities',
      fifth('teacher_logprobs', [-1]),
      /has 3 teacher_ids at position 5, but 1 teacher_logprobs/,
    ],
    [
      'logits',
      fifth('teacher_logprobs', [4, 1, -3]),
      /position 5 whose probabilities add up to 57\.4: give natural logarithms/,
    ],
    ['nothing to train', change({ labels: teacherRow(1).teacher_ids.map(() => -100) }), /has nothing to train on/],
  ])('refuses a row with %s', async (name, row, expected) => {
    const file = `${name.replaceAll(' ', '-')}.jsonl`;
    writeFileSync(path(file), `${JSON.stringify(teacherRow(0))}\n${row}\n`);
    const { code, err } = await runHere(...args('refused', file), '--max_bad_rows', '0');
    expect(code).toBe(1);
    expect(err).toMatch(expected);
    expect(err).toMatch(/row 2/);
  });

  test.each([
    [['--temperature', '2'], /temperature is 2, .* set loss_add_tail: false, or temperature: 1/],
    [['--beta', '1.5'], /beta is 1\.5, and method: distill takes a number from 0/],
    [['--packing', 'true'], /packing: true is for method: sft: rows are trained a sequence each/],
    [
      ['--loss_top_k', '1', '--loss_add_tail', 'false'],
      /renormalises over one token a position, which teaches nothing/,
    ],
    [['--label_smoothing', '0.1'], /label_smoothing is for method: dpo, and this run has method: distill/],
    [['--method', 'sft'], /has teacher_ids: what a teacher says is for method: distill/],
    [['--method', 'sft', '--loss_top_k', '2'], /loss_top_k is for method: distill, and this run has method: sft/],
  ])('refuses %s', async (more, expected) => {
    const { code, err } = await runHere(...args('refused'), ...more);
    expect(code).toBe(1);
    expect(err).toMatch(expected);
  });

  test('is cut to max_length however long it is, and reads a whole vocabulary a position', async () => {
    const length = 200_000;
    const each = <T>(value: T) => Array.from({ length }, () => value);
    const long = { input_ids: each(1), labels: each(1), teacher_ids: each([1]), teacher_logprobs: each([-1]) };
    writeFileSync(path('long.jsonl'), JSON.stringify(long));
    const { code, err } = await runHere(
      'plan',
      '--method',
      'distill',
      '--model',
      path('model'),
      '--data',
      path('long.jsonl'),
    );
    expect(code, err).toBe(0);

    const ids = Array.from({ length: 400_000 }, (_, id) => id);
    const wide = change({
      teacher_ids: teacherRow(1).teacher_ids.map(() => ids),
      teacher_logprobs: teacherRow(1).teacher_logprobs.map(() => ids.map(() => -20)),
    });
    writeFileSync(path('wide.jsonl'), wide);
    const refused = await runHere(...args('refused', 'wide.jsonl')); // it took longer than a test may
    expect(refused.err).toMatch(/token id 399999 in teacher_ids, but the model has 40 tokens only/);
  });

  test('is not planned without knowing how many tokens its rows have', async () => {
    const args = ['plan', path('run.yaml'), '--model', path('model')];
    expect((await runHere(...args)).err).toMatch(/give the data, or loss_top_k/);
    expect((await runHere(...args, '--loss_top_k', '16')).code).toBe(0);
  });
});
