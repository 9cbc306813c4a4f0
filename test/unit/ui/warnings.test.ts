/** What the page says of settings that can hardly be meant. */
import { describe, expect, test } from 'vitest';
import { parseRunConfig, type RunConfigKey } from '../../../src/core/config';
import { PRESETS, presetSettings } from '../../../src/ui/features/runs/presets';
import { warnOf } from '../../../src/ui/features/runs/warnings';

/** 200 rows, four of which are cut, in 36 steps. */
const warningsOf = (yaml: string, facts = {}) =>
  warnOf({ config: parseRunConfig(yaml), rows: 200, truncated: 4, totalSteps: 36, ...facts });

describe('a warning', () => {
  test.each<[yaml: string, key: RunConfigKey, sentence: RegExp, facts?: object]>([
    ['learning_rate: 1.0e-2', 'learning_rate', /^0\.01 is so large .* an adapter learns at 1e-5 to 5e-3\.$/],
    ['learning_rate: 5.0e-7', 'learning_rate', /^5e-7 is so small that nothing will change/],
    ['use_peft: false\nlearning_rate: 1.0e-3', 'learning_rate', /^1e-3 is so large .* every parameter learns at/],
    ['num_train_epochs: 101', 'num_train_epochs', /^101 times through 200 rows .* 100 are plenty\.$/],
    ['num_train_epochs: 31', 'num_train_epochs', /31 times through 1,000 rows/, { rows: 1000 }],
    ['num_train_epochs: 1', 'num_train_epochs', /^The run has only 3 steps/, { totalSteps: 3 }],
    ['max_steps: 3', 'max_steps', /^The run has only 3 steps/, { totalSteps: 3 }],
    ['max_steps: 2000', 'max_steps', /^2,000 steps are 160 times through 200 rows/, { totalSteps: 2000 }],
    [
      'per_device_train_batch_size: 300\ngradient_accumulation_steps: 1',
      'per_device_train_batch_size',
      /only 200 rows/,
    ],
    ['gradient_accumulation_steps: 64', 'gradient_accumulation_steps', /^A step would take 256 rows, .* only 200/],
    ['max_length: 64', 'max_length', /^40 of 200 rows are longer than 64 tokens/, { truncated: 40 }],
    ['lora_r: 257', 'lora_r', /above 256/],
    ['lora_alpha: 256', 'lora_alpha', /by 16: about twice the rank/],
    ['lora_dropout: 0.5', 'lora_dropout', /0 to 0\.1 is usual/],
    ['warmup_steps: 36', 'warmup_steps', /takes the whole run/],
    ['warmup_steps: 19', 'warmup_steps', /more than half/],
    ['warmup_ratio: 0.6', 'warmup_ratio', /more than half/],
    ['val_set_size: 0.6', 'val_set_size', /More rows are held out/],
    ['val_set_size: 101', 'val_set_size', /More rows are held out/],
    ['val_set_size: 0.2\neval_steps: 37', 'eval_steps', /^The run has only 36 steps: it is evaluated once/],
    ['val_set_size: 0.2\neval_steps: 9', 'eval_steps', /^It is evaluated too seldom in 36 steps .* every 7 steps\.$/],
    ['val_set_size: 4\neval_steps: 18', 'eval_steps', /too seldom in 18 steps .* every 3 steps/, { totalSteps: 18 }],
    ['early_stopping_patience: 2', 'early_stopping_patience', /^No rows are held out/],
  ])('is given for %j', (yaml, key, sentence, facts) => {
    const warnings = warningsOf(yaml, facts);
    expect(Object.keys(warnings)).toEqual([key]);
    expect(warnings[key]).toMatch(sentence);
    expect(warnings[key]).toMatch(/\.$/);
  });

  test.each([
    '',
    'learning_rate: 9.0e-3',
    'learning_rate: 1.0e-6',
    'use_peft: false\nlearning_rate: 9.0e-4\nlora_r: 999\nlora_dropout: 0.9',
    'num_train_epochs: 100',
    'lora_r: 256\nlora_alpha: 512',
    'lora_r: 16\nlora_alpha: 32\nuse_rslora: true',
    'warmup_steps: 18',
    'lr_scheduler_type: constant\nwarmup_steps: 36',
    'gradient_accumulation_steps: 64\npacking: true',
    'eval_steps: 37',
    'val_set_size: 0.5\neval_steps: 8\nearly_stopping_patience: 2',
  ])('is not given for %j', (yaml) => {
    expect(warningsOf(yaml)).toEqual({});
  });

  test('waits for what is not known yet', () => {
    const config = parseRunConfig('num_train_epochs: 1000\nwarmup_steps: 99\nlearning_rate: 1');
    expect(Object.keys(warnOf({ config, rows: undefined, truncated: undefined, totalSteps: undefined }))).toEqual([
      'learning_rate',
    ]);
  });

  test('is never given for a preset', () => {
    for (const parameters of [2e6, 135e6, 1e9, 70e9]) {
      for (const rows of [1, 2, 3, 4, 5, 7, 12, 40, 111, 1000, 3000, 8000, 12_000, 20_000, 50_000]) {
        for (const name of PRESETS) {
          for (const usesAdapter of [true, false]) {
            const longest = rows % 2 === 0 ? 2000 : 100;
            const facts = { parameters, maxPositions: 4096, isOnHub: true, usesAdapter, rows, longest };
            const settings = presetSettings(name, facts);
            const config = { ...parseRunConfig(''), ...settings, use_peft: usesAdapter };
            const perEpoch = Math.ceil(
              rows / (settings.per_device_train_batch_size * settings.gradient_accumulation_steps),
            );
            const totalSteps = settings.max_steps > 0 ? settings.max_steps : perEpoch * settings.num_train_epochs;
            const truncated = longest > settings.max_length ? rows : 0;
            expect(warnOf({ config, rows, truncated, totalSteps }), `${name} ${parameters} ${rows}`).toEqual({});
          }
        }
      }
    }
  });
});
