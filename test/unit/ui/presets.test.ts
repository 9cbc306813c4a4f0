/** The presets, as the run file's keys. */
import { describe, expect, test } from 'vitest';
import { formatRunConfig, parseRunConfig } from '../../../src/core/config';
import { describePreset, PRESETS, presetSettings, type PresetFacts } from '../../../src/ui/features/runs/presets';

const facts = (change: Partial<PresetFacts> = {}): PresetFacts => ({
  parameters: 1.2e9,
  maxPositions: 8192,
  isOnHub: false,
  usesAdapter: true,
  rows: 400,
  longest: 200,
  ...change,
});

describe('a preset', () => {
  test('is what LoRA users expect of a model of a few billion parameters', () => {
    expect(presetSettings('balanced', facts())).toEqual({
      learning_rate: 2e-4,
      lr_scheduler_type: 'linear',
      warmup_ratio: 0.05,
      num_train_epochs: 3,
      max_steps: -1,
      per_device_train_batch_size: 4,
      gradient_accumulation_steps: 2,
      max_length: 512,
      lora_r: 16,
      lora_alpha: 32,
      lora_dropout: 0.05,
      load_in_4bit: true,
      gradient_checkpointing: true,
    });
  });

  test.each([
    ['a tiny model', { parameters: 2e6 }, 5e-3],
    ['a small one', { parameters: 135e6 }, 5e-4],
    ['one of 33 billion', { parameters: 33e9 }, 1e-4],
    ['every parameter', { usesAdapter: false }, 2e-5],
    ['every parameter of a tiny one', { parameters: 2e6, usesAdapter: false }, 5e-4],
  ])('has the learning rate for %s', (_, change, rate) => {
    expect(presetSettings('balanced', facts(change)).learning_rate).toBe(rate);
    expect(presetSettings('quick', facts(change)).learning_rate).toBe(rate);
    expect(presetSettings('thorough', facts(change)).learning_rate).toBeCloseTo(rate / 2, 12);
  });

  test.each([
    // rows, epochs of Quick (or steps), Balanced, Thorough
    [1, { num_train_epochs: 5 }, 10, 20],
    [2, { num_train_epochs: 5 }, 10, 20],
    [8, { num_train_epochs: 3 }, 10, 20],
    [40, { num_train_epochs: 2 }, 6, 12],
    [400, { num_train_epochs: 1 }, 3, 6],
    [3000, { max_steps: 100 }, 3, 6],
    [8000, { max_steps: 100 }, 2, 4],
    [50_000, { max_steps: 100 }, 1, 2],
  ])('of %i rows sees them often enough, and not too often', (rows, quick, balanced, thorough) => {
    expect(presetSettings('quick', facts({ rows }))).toMatchObject(quick);
    expect(presetSettings('balanced', facts({ rows })).num_train_epochs).toBe(balanced);
    expect(presetSettings('thorough', facts({ rows })).num_train_epochs).toBe(thorough);
  });

  test('takes long rows one at a time, and as many to a step as short ones', () => {
    expect(presetSettings('thorough', facts({ longest: 5000, rows: 3000 }))).toMatchObject({
      max_length: 2048, // to which they are cut
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 16,
    });
    expect(presetSettings('quick', facts({ longest: 700, rows: 3000 }))).toMatchObject({
      max_length: 1024, // none is cut
      per_device_train_batch_size: 2,
      gradient_accumulation_steps: 8,
    });
    expect(presetSettings('thorough', facts({ longest: 20, rows: 3000 }))).toMatchObject({
      per_device_train_batch_size: 4,
      gradient_accumulation_steps: 4,
    });
  });

  test('takes no more rows to a step than there are', () => {
    for (const [rows, batch] of [
      [1, 1],
      [2, 2],
      [3, 2],
      [4, 4],
    ] as const) {
      expect(presetSettings('balanced', facts({ rows }))).toMatchObject({
        per_device_train_batch_size: batch,
        gradient_accumulation_steps: 1,
      });
    }
  });

  test('keeps a model of the Hub or a large one in 4 bits, and reads no more than the model does', () => {
    expect(presetSettings('balanced', facts({ parameters: 135e6, isOnHub: true })).load_in_4bit).toBe(true);
    expect(presetSettings('balanced', facts({ parameters: 135e6 })).load_in_4bit).toBe(false);
    expect(presetSettings('balanced', facts({ usesAdapter: false })).load_in_4bit).toBe(false);
    expect(presetSettings('thorough', facts({ maxPositions: 256 })).max_length).toBe(256);
  });

  test('is a run file that is accepted, whatever model and data it is for', () => {
    const cases = [2e6, 135e6, 1e9, 70e9].flatMap((parameters) =>
      [0, 1, 7, 249, 250, 1e6].flatMap((rows) =>
        [0, 1, 100_000].flatMap((longest) =>
          [true, false].map((usesAdapter) => ({ parameters, rows, longest, usesAdapter })),
        ),
      ),
    );
    for (const change of cases) {
      for (const name of PRESETS) {
        const settings = presetSettings(name, facts(change));
        const config = { ...parseRunConfig(''), ...settings };
        expect(parseRunConfig(formatRunConfig(config))).toEqual(config);
      }
    }
  });

  test('is said as the settings that it makes', () => {
    expect(describePreset(presetSettings('balanced', facts()), true)).toBe(
      '3 epochs, learning rate 2e-4, rank 16, 8 rows a step, 4 bits',
    );
    expect(describePreset(presetSettings('quick', facts({ rows: 9000, usesAdapter: false })), false)).toBe(
      '100 steps, learning rate 2e-5, 16 rows a step',
    );
  });
});
