import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { formatRunConfig, parseRunConfig } from '../../../src/core/config';
import { QUICKSTART, RecipeState, type DraftFacts } from '../../../src/ui/features/runs/recipe.svelte';
import { ADVANCED, BASIC, CHECK } from '../../../src/ui/features/runs/settings';

/** The built-in starter on the policy pairs. */
const STARTER: DraftFacts = { parameters: 2_123_712, maxPositions: 512, isOnHub: false, rows: 111, longest: 51 };
/** A model of the Hub, on the user's own FAQ. */
const ON_HUB: DraftFacts = { parameters: 1.2e9, maxPositions: 8192, isOnHub: true, rows: 40, longest: 120 };

afterEach(() => vi.unstubAllGlobals());

describe('RecipeState', () => {
  test('takes a setting, and refuses an impossible one with its reason beside the old value', () => {
    const recipe = new RecipeState(() => STARTER);
    expect(recipe.setText('lora_r', '4')).toBe(true);
    expect(recipe.setText('lora_r', '0')).toBe(false);
    expect(recipe.config.lora_r).toBe(4);
    expect(recipe.refused.lora_r?.error.message).toBe('lora_r must be a whole number from 1 to 65536, but is 0.');
    expect(recipe.setText('lora_r', '8')).toBe(true);
    expect(recipe.refused.lora_r).toBeUndefined();
  });

  test('refuses what is no number', () => {
    const recipe = new RecipeState(() => STARTER);
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
    expect(recipe.config.learning_rate).toBe(QUICKSTART.learning_rate);
  });

  test('a row limit that is no number of rows is refused, and not taken for none or for another', () => {
    const recipe = new RecipeState(() => STARTER);
    for (const typed of ['2.7', '0', 'all']) expect(recipe.setText('max_train_samples', typed)).toBe(false);
    expect(recipe.setText('max_train_samples', '')).toBe(true);
    expect(recipe.config.max_train_samples).toBeUndefined();
  });

  test('what was refused in one field stays while others change, and is gone where a whole file is taken', () => {
    const recipe = new RecipeState(() => STARTER);
    recipe.setText('lora_r', 'x');
    recipe.setText('seed', '7');
    expect(recipe.change({ lora_alpha: 8 })).toBe(true);
    expect(recipe.refused.lora_r?.typed).toBe('x');
    expect(recipe.load('lora_r: 4')).toBe(true);
    expect(recipe.refused).toEqual({});
  });

  test('a run file with a misspelt key changes nothing', () => {
    const recipe = new RecipeState(() => STARTER);
    const before = recipe.yaml;
    expect(recipe.load('learnin_rate: 1')).toBe(false);
    expect(recipe.fileError?.message).toContain('learning_rate');
    expect(recipe.yaml).toBe(before);
  });

  test('its YAML loads as what it was', () => {
    const recipe = new RecipeState(() => STARTER);
    recipe.set('lora_target_modules', ['q_proj', 'v_proj']);
    recipe.set('max_train_samples', 24);
    const other = new RecipeState(() => STARTER);
    expect(other.load(recipe.yaml)).toBe(true);
    expect(other.config).toEqual(recipe.config);
    recipe.set('max_train_samples', undefined);
    expect(recipe.yaml).not.toContain('max_train_samples');
  });

  test('a percentage is a part of a whole, where the key may be one', () => {
    const recipe = new RecipeState(() => STARTER);
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

  test('what nobody has set follows model and data; what was set by hand stays, and is named', () => {
    let facts = STARTER;
    const recipe = new RecipeState(() => facts);
    expect(recipe.config).toMatchObject({ learning_rate: 5e-3, num_train_epochs: 12, load_in_4bit: false });
    recipe.setText('lora_r', '4');
    facts = ON_HUB; // data first, then a model of the Hub
    const later = new RecipeState(() => facts);
    later.use(recipe.choices);
    expect(later.config).toMatchObject({ learning_rate: 2e-4, num_train_epochs: 6, load_in_4bit: true, lora_r: 4 });
    expect(later.differences).toEqual([{ key: 'lora_r', before: '16', after: '4' }]);
    later.choose('thorough');
    expect(later.config).toMatchObject({ learning_rate: 1e-4, lora_r: 4 });
    expect(later.differences).toEqual([{ key: 'lora_r', before: '32', after: '4' }]);
    later.usePresetAlone();
    expect(later.config.lora_r).toBe(32);
    expect(later.differences).toEqual([]);
  });

  test('a run file is taken whole, and none of it follows the model', () => {
    let facts = STARTER;
    const recipe = new RecipeState(() => facts);
    expect(recipe.load('learning_rate: 1.0e-3')).toBe(true);
    facts = ON_HUB;
    expect(recipe.yaml).toBe(formatRunConfig(parseRunConfig('learning_rate: 1.0e-3')));
    expect(recipe.differences.map(({ key }) => key)).toContain('learning_rate');
  });

  test('what gives up edits leaves rows, checks and the template alone', () => {
    const recipe = new RecipeState(() => STARTER);
    recipe.change({ max_train_samples: 20, val_set_size: 0.2, learning_rate: 1e-3 });
    expect(recipe.differences.map(({ key }) => key)).toEqual(['learning_rate']);
    recipe.usePresetAlone();
    expect(recipe.config).toMatchObject({ max_train_samples: 20, val_set_size: 0.2, learning_rate: 5e-3 });
  });

  test('training every parameter takes the rate for that, unless one was set', () => {
    const recipe = new RecipeState(() => ON_HUB);
    recipe.set('use_peft', false);
    expect(recipe.config).toMatchObject({ learning_rate: 2e-5, load_in_4bit: false });
    recipe.setText('learning_rate', '3e-5');
    recipe.set('use_peft', true);
    expect(recipe.config).toMatchObject({ learning_rate: 3e-5, load_in_4bit: true });
  });

  test('a reload brings back the preset, what was set by hand, and nothing else as such', () => {
    const kept = new Map<string, string>();
    vi.stubGlobal('localStorage', {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
    });
    const recipe = new RecipeState(() => STARTER);
    recipe.choose('quick');
    recipe.setText('seed', '7');
    const reloaded = new RecipeState(() => ON_HUB);
    reloaded.restore();
    expect(reloaded.choices).toEqual({ preset: 'quick', edits: { seed: 7 } });
    expect(reloaded.config).toMatchObject({ seed: 7, lora_r: 8, load_in_4bit: true });
    // As an earlier version left it: all settings, and whether they are the user's own.
    for (const [own, lora_r] of [
      [true, 5],
      [false, 16],
    ] as const) {
      kept.clear();
      kept.set('graft.run', JSON.stringify('lora_r: 5'));
      kept.set('graft.run-own', JSON.stringify(own));
      const old = new RecipeState(() => ON_HUB);
      old.restore();
      expect(old.config.lora_r).toBe(lora_r);
    }
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
  const trainedWhole = ['lora_modules_to_save', 'ensure_weight_tying', 'trainable_token_indices'];
  const ofPreferences = ['beta', 'loss_type', 'label_smoothing', 'precompute_ref_log_probs', 'disable_dropout'];
  const ofPrompts = ['peft_type', 'num_virtual_tokens', 'prompt_tuning_init', 'prompt_tuning_init_text'];
  const ofTeachers = ['temperature', 'loss_top_k', 'loss_add_tail'];
  const all = Object.keys(parseRunConfig(''));
  expect(all.filter((key) => !settings.includes(key as never)).sort()).toEqual(
    [...elsewhere, ...onlyOne, ...inTheRunFile, ...trainedWhole, ...ofPreferences, ...ofPrompts, ...ofTeachers].sort(),
  );
});

test('the run of the first visit is the balanced preset for the starter on the policy pairs', () => {
  const config = parseRunConfig(readFileSync('src/ui/features/runs/quickstart.yaml', 'utf8'), {}, 'quickstart.yaml');
  expect(config).toEqual({
    ...new RecipeState(() => STARTER).config,
    model_name_or_path: 'starter',
    dataset: 'title-fees',
  });
});
