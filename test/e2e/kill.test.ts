import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/core/rng';
import { graft } from '../support/command-line';

/** `GRAFT_KILLS=20 npm test -- e2e` kills twenty times. */
const KILLS = Number(process.env['GRAFT_KILLS'] ?? 2);
const SEED = Number(process.env['GRAFT_SEED'] ?? Date.now() % 1e6);
const STEPS = 8;

const folder = mkdtempSync(join(tmpdir(), 'graft-kill-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Dropout, shuffling, accumulation, evaluation and a schedule: all that a resumed run has to find again. */
const settings = {
  max_steps: STEPS,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  learning_rate: 2e-3,
  lr_scheduler_type: 'cosine',
  warmup_steps: 2,
  lora_r: 4,
  lora_dropout: 0.1,
  val_set_size: 4,
  eval_steps: 3,
  save_steps: 1,
  seed: 7,
};

const command = (output: string) => [
  ...['train', '--model', 'starter', '--data', 'title-fees', '--output', output],
  ...Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]),
];

const adapter = (output: string) => readFileSync(join(output, 'adapter_model.safetensors'));

describe('a run killed at a random step and resumed', () => {
  it(`ends in the bytes of an uninterrupted run, ${KILLS} times (GRAFT_SEED=${SEED})`, async () => {
    const whole = join(folder, 'whole');
    expect((await graft(command(whole))).code).toBe(0);
    const expected = adapter(whole);
    const random = new Random(SEED);

    for (let kill = 0; kill < KILLS; kill++) {
      const output = join(folder, `run-${kill}`);
      const victim = 1 + Math.floor(random.uniform() * (STEPS - 1));
      const delay = random.uniform() * 300;
      const killed = await graft(command(output), (event, process) => {
        if (event['kind'] === 'step' && (event['row'] as { step: number }).step === victim) {
          setTimeout(() => process.kill('SIGKILL'), delay);
        }
      });
      const where = `kill ${kill}: step ${victim} and ${delay.toFixed(0)} ms`;
      expect(killed.signal, where).toBe('SIGKILL');
      const resumed = await graft([...command(output), '--resume']);
      expect(resumed.code, `${where}\n${resumed.stderr}`).toBe(0);
      expect(
        resumed.events.some((event) => event['kind'] === 'resumed'),
        where,
      ).toBe(true);
      expect(adapter(output).equals(expected), where).toBe(true);
      rmSync(output, { recursive: true });
    }
  });
});
