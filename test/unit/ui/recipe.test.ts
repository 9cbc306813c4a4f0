import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { DEFAULTS, RecipeState } from '../../../src/ui/features/runs/recipe.svelte';
import { ADVANCED, BASIC } from '../../../src/ui/features/runs/settings';

describe('RecipeState', () => {
  test('takes a setting, and refuses an impossible one with its reason beside the old value', () => {
    const recipe = new RecipeState();
    expect(recipe.set('lora_r', 4)).toBe(true);
    expect(recipe.set('lora_r', 0)).toBe(false);
    expect(recipe.config.lora_r).toBe(4);
    expect(recipe.errors.lora_r?.message).toContain('lora_r must be');
    expect(recipe.set('lora_r', 8)).toBe(true);
    expect(recipe.errors.lora_r).toBeUndefined();
  });

  test('refuses what is no number', () => {
    const recipe = new RecipeState();
    expect(recipe.set('learning_rate', NaN)).toBe(false);
    expect(recipe.errors.learning_rate?.code).toBe('bad-config');
  });

  test('a run file with a misspelt key changes nothing', () => {
    const recipe = new RecipeState();
    const before = recipe.yaml;
    expect(recipe.load('learnin_rate: 1')).toBe(false);
    expect(recipe.errors.file?.message).toContain('learning_rate');
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

  test('defaults come back only while nothing was changed by hand', () => {
    const recipe = new RecipeState();
    recipe.set('lora_r', 4);
    recipe.useUnlessTouched(DEFAULTS);
    expect(recipe.config.lora_r).toBe(4);
  });
});

test('the form has no setting twice, and leaves out only what the page chooses or cannot do yet', () => {
  const settings = [...BASIC, ...ADVANCED.flatMap((group) => group.settings)].map(({ key }) => key);
  expect(new Set(settings).size).toBe(settings.length);
  const elsewhere = ['model_name_or_path', 'revision', 'dataset', 'max_train_samples', 'template_date', 'output_dir'];
  const onlyOne = ['bnb_4bit_quant_type'];
  const inTheRunFile = ['chat_template', 'chat_template_path', 'method'];
  const ofPreferences = ['beta', 'loss_type', 'label_smoothing', 'precompute_ref_log_probs', 'disable_dropout'];
  const all = Object.keys(parseRunConfig(''));
  expect(all.filter((key) => !settings.includes(key as never)).sort()).toEqual(
    [...elsewhere, ...onlyOne, ...inTheRunFile, ...ofPreferences].sort(),
  );
});

test('the quick-start recipe is a run file for the starter on the policy pairs', () => {
  const config = parseRunConfig(readFileSync('src/ui/features/runs/quickstart.yaml', 'utf8'), {}, 'quickstart.yaml');
  expect(config.model_name_or_path).toBe('starter');
  expect(config.dataset).toBe('title-fees');
});
