/** Prompt tuning through the built command line: PEFT's trajectories, resuming, answering, and what is refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import { toFloat32 } from '../../../src/core/dtypes';
import type { LogRow, TrainEvent, TrainerState } from '../../../src/core/events';
import { readAdapter } from '../../../src/formats/peft';
import { readHeader } from '../../../src/formats/safetensors';
import { relativeError } from '../../support/compare';
import { hasReference, reference } from '../../support/reference';
import { tinyModel, tokenRows } from '../recipes/support';
import { graft, jsonLines, runHere, startGraft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);
const log = (output: string): LogRow[] =>
  (JSON.parse(readFileSync(path(`${output}/trainer_state.json`), 'utf8')) as TrainerState).log_history;
const weights = (output: string) => readFileSync(path(`${output}/adapter_model.safetensors`));
const prompt = async (folder: string) => {
  const { tensors } = await readAdapter(await openFolder(folder));
  expect(tensors.map(({ name }) => name)).toEqual(['prompt_embeddings']);
  return toFloat32(tensors[0]!.bytes, 'f32');
};

const RUN = `
peft_type: PROMPT_TUNING
num_virtual_tokens: 5
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
num_train_epochs: 2
save_steps: 1
`;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-prompt-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('rows.jsonl'), tokenRows(16));
  writeFileSync(path('run.yaml'), RUN);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const train = (output: string, ...more: string[]) => [
  ...['train', path('run.yaml'), '--model', path('model'), '--data', path('rows.jsonl')],
  ...['--output', path(output), '--json', ...more],
];

describe.skipIf(!hasReference)('trajectories recorded from PEFT', () => {
  const golden = (...file: string[]) => reference('golden/prompt_tuning', ...file);

  test.each(['prompt_random', 'prompt_text'])('%s', async (name) => {
    const { settings, steps } = JSON.parse(readFileSync(golden(name, 'trajectory.json'), 'utf8')) as {
      settings: Record<string, unknown>;
      steps: Record<'loss' | 'grad_norm' | 'learning_rate', number>[];
    };
    type Rows = Record<'input_ids' | 'labels' | 'attention_mask', number[][]>;
    const { steps: batches } = JSON.parse(readFileSync(golden('batches.json'), 'utf8')) as { steps: Rows[][] };
    const rows = batches.flat().flatMap(({ input_ids, labels, attention_mask: mask }) =>
      input_ids.map((ids, i) => {
        const seen = (values: number[]) => values.filter((_, k) => mask[i]![k] === 1);
        return JSON.stringify({ input_ids: seen(ids), labels: seen(labels[i]!) });
      }),
    );
    writeFileSync(path(`${name}.jsonl`), rows.join('\n'));
    const keys = Object.entries(settings).map(([key, value]) => `${key}: ${String(value)}\n`);
    const start = name === 'prompt_text' ? 'prompt_tuning_init: TEXT\nprompt_tuning_init_text: Once upon a time\n' : '';
    const batching = 'per_device_train_batch_size: 2\ngradient_accumulation_steps: 2\n';
    // An adapter to go on from brings its kind.
    const ownKeys = keys.filter((line) => start !== '' || !line.startsWith('num_virtual_tokens'));
    const kind = start === '' ? 'lora_r: 4\n' : 'peft_type: PROMPT_TUNING\n';
    writeFileSync(path(`${name}.yaml`), `${kind}${start}${batching}${ownKeys.join('')}`);
    const { code, err } = await graft(
      ...['train', path(`${name}.yaml`), '--model', reference('models/stories260K'), '--data', path(`${name}.jsonl`)],
      ...['--shuffle', 'false', '--output', path(name)],
      ...(start === '' ? ['--adapter', golden(name, 'adapter_init')] : []),
    );
    expect(code, err).toBe(0);
    if (start === '')
      expect(err).toMatch(/peft_type is PROMPT_TUNING, as the adapter .* leaves out what is of LoRA: lora_r\./);
    expect(log(name)).toHaveLength(steps.length);
    log(name).forEach((row, i) => {
      for (const key of ['loss', 'grad_norm'] as const) {
        expect(Math.abs(row[key]! - steps[i]![key]) / steps[i]![key], `${key} of step ${i + 1}`).toBeLessThan(1e-4);
      }
      expect(Math.abs(row.learning_rate! - steps[i]!.learning_rate)).toBeLessThan(1e-15);
    });
    expect(relativeError(await prompt(path(name)), await prompt(golden(name, 'adapter_final')))).toBeLessThan(1e-4);
    const config = (folder: string) => JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')) as object;
    const fields = ['num_virtual_tokens', 'peft_type', 'prompt_tuning_init', 'prompt_tuning_init_text', 'token_dim'];
    const theirs = Object.entries(config(golden(name, 'adapter_final'))).filter(([key]) => fields.includes(key));
    expect(config(path(name))).toMatchObject(Object.fromEntries(theirs));
  });
});

describe('graft train with peft_type: PROMPT_TUNING', () => {
  test('as planned, killed and resumed, to the bytes and the log of a run that never stopped', async () => {
    const whole = await graft(...train('whole', '--val_set_size', '2', '--eval_steps', '2'));
    expect(whole.code, whole.err).toBe(0);
    const plan = jsonLines<TrainEvent>(whole.out).find((event) => event.kind === 'plan')!;
    expect(plan.trainableParameters).toBe(5 * 32);
    const planned = await runHere(
      ...['plan', path('run.yaml'), '--model', path('model'), '--data', path('rows.jsonl')],
      ...['--val_set_size', '2', '--eval_steps', '2', '--json'],
    );
    const { totalBytes, bytes, dispatches } = plan;
    expect(jsonLines(planned.out)[0]).toMatchObject({ total_bytes: totalBytes, bytes, dispatches });
    expect(Math.max(...log('whole').map(({ learning_rate = 0 }) => learning_rate))).toBeCloseTo(0.03, 10);
    const losses = log('whole').flatMap(({ eval_loss }) => eval_loss ?? []);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const run = readFileSync(path('whole/run.yaml'), 'utf8');
    expect(run).toMatch(
      /lora_target_modules: all-linear\n[^]*peft_type: PROMPT_TUNING|peft_type: PROMPT_TUNING\n[^]*lora_target_modules: all-linear/,
    );

    const started = startGraft(train('killed', '--val_set_size', '2', '--eval_steps', '2'), (line) => {
      const event = JSON.parse(line) as TrainEvent;
      if (event.kind === 'checkpoint' && event.step === 3) started.child.kill('SIGKILL');
    });
    expect((await started.ended).killedBy).toBe('SIGKILL');
    const exported = await graft('export', '--checkpoint', path('killed'), '--output', path('so-far'));
    expect(exported.code, exported.err).toBe(0);
    expect((await prompt(path('so-far'))).length).toBe(5 * 32);
    const { code, err } = await graft('train', '--resume', '--output', path('killed'), '--json');
    expect(code, err).toBe(0);
    expect(weights('killed').equals(weights('whole'))).toBe(true);
    expect(log('killed').map(({ loss, eval_loss }) => [loss, eval_loss])).toEqual(
      log('whole').map(({ loss, eval_loss }) => [loss, eval_loss]),
    );
  });

  test('is answered with, and looked at', async () => {
    const { code, err } = await graft(...train('short', '--max_steps', '3'));
    expect(code, err).toBe(0);
    writeFileSync(path('prompts.jsonl'), '{"input_ids": [1, 2, 3]}\n{"input_ids": [4, 5, 6, 7, 8]}\n');
    const ask = (...more: string[]) =>
      graft(
        ...['generate', '--model', path('model'), '--input', path('prompts.jsonl'), '--max-new-tokens', '8', ...more],
      );
    const outputs = ({ out }: { out: string }) => jsonLines<{ output_ids: number[] }>(out).map((row) => row.output_ids);
    const tuned = await ask('--adapter', path('short'));
    expect(tuned.code, tuned.err).toBe(0);
    expect(outputs(tuned)[0]).toHaveLength(8);
    expect(outputs(await ask('--adapter', path('short'), '--batch-size', '2'))).toEqual(outputs(tuned));
    expect(outputs(await ask())).not.toEqual(outputs(tuned));

    writeFileSync(path('ids.json'), JSON.stringify({ input_ids: [[1, 2, 3, ...outputs(tuned)[0]!]] }));
    const looked = await graft(
      ...['forward', '--model', path('model'), '--adapter', path('short'), '--input', path('ids.json')],
      ...['--output', path('out.safetensors')],
    );
    expect(looked.code, looked.err).toBe(0);
    const { tensors } = await readHeader(await openFolder(root), 'out.safetensors');
    // As PEFT has them: those of virtual tokens too.
    expect(tensors.find(({ name }) => name === 'logits')!.shape).toEqual([1, 5 + 11, 40]);
  });

  test('goes on from a prompt, which brings its length', async () => {
    const first = await graft(...train('first', '--max_steps', '1'));
    expect(first.code, first.err).toBe(0);
    const more = await graft(
      ...train('more', '--adapter', path('first'), '--num_virtual_tokens', '9', '--max_steps', '1'),
    );
    expect(more.code, more.err).toBe(0);
    expect(more.out + more.err).toMatch(/num_virtual_tokens is 5, as the adapter to go on from has it, instead of 9/);
    expect((await prompt(path('more'))).length).toBe(5 * 32);
    const lora = await graft(
      ...[
        'train',
        '--model',
        path('model'),
        '--data',
        path('rows.jsonl'),
        '--output',
        path('lora'),
        '--max_steps',
        '1',
      ],
    );
    expect(lora.code, lora.err).toBe(0);
    const mixed = await runHere(...train('mixed', '--adapter', path('lora')));
    expect([mixed.code, mixed.err]).toEqual([1, expect.stringMatching(/is LoRA, and the run trains a prompt/)]);
  });

  test('is not merged, and says why', async () => {
    const { code, err } = await graft(...train('unmerged', '--max_steps', '1'));
    expect(code, err).toBe(0);
    const merged = await graft(
      ...['export', '--model', path('model'), '--adapter', path('unmerged'), '--output', path('merged')],
    );
    expect([merged.code, merged.err]).toEqual([1, expect.stringMatching(/is a prompt: .* there is nothing to merge/)]);
  });

  test.each([
    [['--lora_target_modules', 'q_proj'], /lora_target_modules is for peft_type: LORA/],
    [['--lora_r', '4'], /lora_r is for peft_type: LORA, and PROMPT_TUNING changes no linear/],
    [['--use_dora', 'true'], /use_dora is for peft_type: LORA/],
    [['--lora_modules_to_save', 'lm_head'], /lora_modules_to_save is for peft_type: LORA/],
    [['--packing', 'true'], /set packing: false/],
    [['--use_peft', 'false'], /peft_type is for use_peft: true/],
    [['--peft_type', 'LORA'], /num_virtual_tokens is for peft_type: PROMPT_TUNING/],
    [['--prompt_tuning_init', 'TEXT'], /begins with a text: give it as prompt_tuning_init_text/],
    [['--prompt_tuning_init_text', 'Be kind.'], /prompt_tuning_init_text is for prompt_tuning_init: TEXT/],
    [
      ['--num_virtual_tokens', '63'],
      /num_virtual_tokens asks for 63 virtual tokens, and the model reads 64 tokens in all/,
    ],
    [['--num_virtual_tokens', '0'], /num_virtual_tokens must be a whole number from 1 to 4096/],
    [['--peft_type', 'PREFIX_TUNING'], /peft_type must be one of LORA, PROMPT_TUNING/],
  ])('refuses %j', async (more, expected) => {
    const { code, err } = await runHere(...train('refused', ...more));
    expect(err).toMatch(expected);
    expect(code).toBe(/must be/.test(expected.source) ? 2 : 1);
  });

  test('learns a preference, against the model without it', async () => {
    const pair = {
      ...{ chosen_input_ids: [1, 2, 3], chosen_labels: [-100, 2, 3] },
      ...{ rejected_input_ids: [1, 4], rejected_labels: [-100, 4] },
    };
    writeFileSync(path('pairs.jsonl'), [1, 2, 3, 4].map(() => JSON.stringify(pair)).join('\n'));
    const args = train('pairs', '--method', 'dpo', '--max_steps', '4');
    const { code, err } = await graft(
      ...args.map((word) => (word === path('rows.jsonl') ? path('pairs.jsonl') : word)),
    );
    expect(code, err).toBe(0);
    const margins = log('pairs').map((row) => row['rewards/margins']!);
    expect(margins.at(-1)).toBeGreaterThan(margins[0]!);
  });
});
