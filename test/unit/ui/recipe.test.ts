import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { DEFAULTS, RecipeState } from '../../../src/ui/features/runs/recipe.svelte';
import { ADVANCED, BASIC, CHECK } from '../../../src/ui/features/runs/settings';

describe('RecipeState', () => {
  test('takes a setting, and refuses an impossible one with its reason beside the old value', () => {
    const recipe = new RecipeState();
    expect(recipe.setText('lora_r', '4')).toBe(true);
    expect(recipe.setText('lora_r', '0')).toBe(false);
    expect(recipe.config.lora_r).toBe(4);
    expect(recipe.refused.lora_r?.error.message).toBe('lora_r must be a whole number from 1 to 65536, but is 0.');
    expect(recipe.setText('lora_r', '8')).toBe(true);
    expect(recipe.refused.lora_r).toBeUndefined();
  });

  test('refuses what is no number', () => {
    const recipe = new RecipeState();
    const refusals: [typed: string, message: RegExp][] = [
      ['abc', /^learning_rate must be a number above 0, but is "abc": write a number such as 0\.0002\.$/],
      ['0,005', /^learning_rate must be .*, but is "0,005": write it with a point, 0\.005\.$/],
      ['  ', /^learning_rate must be .*, but is empty: write a number such as 0\.0002\.$/],
      ['-1e-3', /^learning_rate must be .*, but is -1e-3\.$/],
    ];
    for (const [typed, message] of refusals) {
      expect(recipe.setText('learning_rate', typed)).toBe(false);
      expect(recipe.refused.learning_rate).toMatchObject({ typed, error: { code: 'bad-config' } });
      expect(recipe.refused.learning_rate?.error.message).toMatch(message);
    }
    expect(recipe.config.learning_rate).toBe(2e-4);
  });

  test('a row limit that is no number of rows is refused, and not taken for none or for another', () => {
    const recipe = new RecipeState();
    for (const typed of ['2.7', '0', 'all']) expect(recipe.setText('max_train_samples', typed)).toBe(false);
    expect(recipe.setText('max_train_samples', '')).toBe(true);
    expect(recipe.config.max_train_samples).toBeUndefined();
  });

  test('what was refused in one field stays while others change, and is gone where a whole file is taken', () => {
    const recipe = new RecipeState();
    recipe.setText('lora_r', 'x');
    recipe.setText('seed', '7');
    expect(recipe.change({ lora_alpha: 8 })).toBe(true);
    expect(recipe.refused.lora_r?.typed).toBe('x');
    expect(recipe.load('lora_r: 4')).toBe(true);
    expect(recipe.refused).toEqual({});
  });

  test('a run file with a misspelt key changes nothing', () => {
    const recipe = new RecipeState();
    const before = recipe.yaml;
    expect(recipe.load('learnin_rate: 1')).toBe(false);
    expect(recipe.fileError?.message).toContain('learning_rate');
    expect(recipe.yaml).toBe(before);
  });

  test('its YAML loads as what it was', () => {
    const recipe = new RecipeState();
    recipe.set('lora_target_modules', ['q_proj', 'v_proj']);
    recipe.set('max_train_samples', 24);
    const other = new RecipeState();
    expect(other.load(recipe.yaml)).toBe(true);
    expect(other.config).toEqual(recipe.config);
    recipe.set('max_train_samples', undefined);
    expect(recipe.yaml).not.toContain('max_train_samples');
  });

  test('a percentage is a part of a whole, where the key may be one', () => {
    const recipe = new RecipeState();
    for (const typed of ['20%', ' 20 % ', '0.2']) {
      expect(recipe.setText('val_set_size', typed)).toBe(true);
      expect(recipe.config.val_set_size).toBe(0.2);
    }
    expect(recipe.setText('warmup_ratio', '2.5 %')).toBe(true);
    expect(recipe.config.warmup_ratio).toBe(0.025);
    expect(recipe.setText('lora_r', '20%')).toBe(false);
    expect(recipe.refused.lora_r?.error.message).toContain('"20%"');
    expect(recipe.setText('lora_dropout', '200%')).toBe(false);
  });

  test('defaults come back only while nothing was changed by hand', () => {
    const recipe = new RecipeState();
    recipe.set('lora_r', 4);
    recipe.useUnlessTouched(DEFAULTS);
    expect(recipe.config.lora_r).toBe(4);
  });
});

test('the form has no setting twice, and leaves out only what the page chooses or cannot do yet', () => {
  const settings = [...BASIC, ...CHECK, ...ADVANCED.flatMap((group) => group.settings)].map(({ key }) => key);
  expect(new Set(settings).size).toBe(settings.length);
  const elsewhere = [
    'model_name_or_path',
    'revision',
    'dataset',
    'dataset_mapping',
    'max_train_samples',
    'template_date',
    'output_dir',
  ];
  const onlyOne = ['bnb_4bit_quant_type'];
  const inTheRunFile = ['chat_template', 'chat_template_path', 'layers_to_transform', 'method'];
  const trainedWhole = ['lora_modules_to_save', 'ensure_weight_tying'];
  const ofPreferences = ['beta', 'loss_type', 'label_smoothing', 'precompute_ref_log_probs', 'disable_dropout'];
  const ofTeachers = ['temperature', 'loss_top_k', 'loss_add_tail'];
  const all = Object.keys(parseRunConfig(''));
  expect(all.filter((key) => !settings.includes(key as never)).sort()).toEqual(
    [...elsewhere, ...onlyOne, ...inTheRunFile, ...trainedWhole, ...ofPreferences, ...ofTeachers].sort(),
  );
});

test('the quick-start recipe is a run file for the starter on the policy pairs', () => {
  const config = parseRunConfig(readFileSync('src/ui/features/runs/quickstart.yaml', 'utf8'), {}, 'quickstart.yaml');
  expect(config.model_name_or_path).toBe('starter');
  expect(config.dataset).toBe('title-fees');
});
