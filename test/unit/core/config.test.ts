import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatRunConfig, parseRunConfig, RUN_CONFIG_KEYS, type RunConfig } from '../../../src/core/config';
import { errorCode } from '../../../src/core/errors';
import { editDistance, nearest } from '../../../src/core/nearest';

const refusal = (yaml: string, overrides: Record<string, string> = {}): string => {
  try {
    parseRunConfig(yaml, overrides);
  } catch (error) {
    expect(errorCode(error)).toBe('bad-config');
    return (error as Error).message;
  }
  throw new Error('accepted');
};

/** The run file of DESIGN section 4, as a user would write it. */
const EXAMPLE = `
model_name_or_path: starter            # a Hub id, a local folder, or a built-in name
revision: main
dataset: data.jsonl
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_ratio: 0.03
num_train_epochs: 3
per_device_train_batch_size: 4
gradient_accumulation_steps: 4
max_length: 512
packing: false
assistant_only_loss: true
gradient_checkpointing: true
weight_decay: 0.0
max_grad_norm: 1.0
optim: adamw
seed: 42
logging_steps: 1
eval_steps: 25
save_steps: 25
use_peft: true
lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
lora_target_modules: all-linear
use_rslora: false
use_dora: false
load_in_4bit: false
bnb_4bit_quant_type: nf4
use_bnb_nested_quant: true
`;

describe('parseRunConfig', () => {
  it('takes the values of the example for defaults', () => {
    const { dataset, eval_steps, ...rest } = parseRunConfig(EXAMPLE);
    expect(dataset).toBe('data.jsonl');
    expect(eval_steps).toBe(25); // absent, it depends on how long the run is
    expect(rest).toEqual({ ...parseRunConfig(''), dataset: undefined, eval_steps: undefined });
    expect(rest.learning_rate).toBe(2e-4);
  });

  it('takes the learning rate for training every parameter where none is given', () => {
    expect(parseRunConfig('use_peft: false').learning_rate).toBe(2e-5);
    expect(parseRunConfig('', { use_peft: 'false' }).learning_rate).toBe(2e-5);
    expect(parseRunConfig('use_peft: false\nlearning_rate: 2.0e-4').learning_rate).toBe(2e-4);
    expect(parseRunConfig('use_peft: true').learning_rate).toBe(2e-4);
  });

  it('takes a part of a whole in percent', () => {
    const parts = parseRunConfig('val_set_size: 20%\nmax_bad_rows: 7.5 %\nlora_dropout: 0%', { 'warmup-ratio': '10%' });
    expect(parts).toMatchObject({ val_set_size: 0.2, max_bad_rows: 0.075, lora_dropout: 0, warmup_ratio: 0.1 });
    expect(refusal('lora_dropout: 100%')).toMatch(/lora_dropout must be a number from 0 to below 1, but is "100%"/);
    for (const all of ['100%', '150%', '200 %', '300%']) {
      expect(refusal(`val_set_size: ${all}`)).toMatch(/val_set_size must be 0, a fraction below 1/);
    }
    expect(parseRunConfig('val_set_size: 3').val_set_size).toBe(3);
    expect(refusal('val_set_size: 150%')).toMatch(/val_set_size must be 0, a fraction below 1/);
    expect(refusal('learning_rate: 1%')).toMatch(/learning_rate must be a number above 0, but is "1%"/);
  });

  it('accepts keys whose recipes are yet to come', () => {
    const config = parseRunConfig('load_in_4bit: true\noptim: adamw_8bit\npacking: true');
    expect(config).toMatchObject({ load_in_4bit: true, optim: 'adamw_8bit', packing: true });
  });

  it.each([
    ['learning_rte: 1', /unknown key learning_rte; the nearest valid one is learning_rate/],
    [
      'learning_rte: 1\nseed: 1\nlora_rr: 2',
      /unknown key learning_rte; the nearest valid one is learning_rate, nor is lora_rr a key \(nearest: lora_r\)\./,
    ],
    ['batch_size: 1', /nearest valid one is per_device_train_batch_size/],
    ['target_modules: all-linear', /nearest valid one is lora_target_modules/],
    ['max_seq_length: 5', /nearest valid one is max_length/],
    ['__proto__:\n  seed: 1', /unknown key __proto__/],
    ['constructor: 1', /unknown key constructor/],
    ['learning_rate: fast', /learning_rate must be a number above 0, but is "fast"/],
    ['learning_rate: -1', /learning_rate must be a number above 0, but is -1/],
    ['learning_rate: .inf', /learning_rate must be a number above 0/],
    ['learning_rate: [1]', /learning_rate must be .*\[1\]/],
    ['shuffle: 1', /shuffle must be true or false, but is 1/],
    ['seed: 1.5', /seed must be a whole number from 0 to 4294967295, but is 1.5/],
    ['lr_scheduler_type: cosin', /one of cosine, linear.*"cosin"/],
    ['max_steps: 0', /max_steps must be a whole number above 0, or -1/],
    ['lora_dropout: 1', /lora_dropout must be a number from 0 to below 1/],
    ['val_set_size: 1.5', /val_set_size must be 0, a fraction below 1/],
    ['lora_target_modules: .*_proj', /lora_target_modules must be all-linear, auto, or a list/],
    ['lora_target_modules: []', /lora_target_modules must be all-linear, auto, or a list/],
    [
      'lora_modules_to_save: []',
      /lora_modules_to_save must be a list of module names such as \[embed_tokens, lm_head\]/,
    ],
    ['lora_modules_to_save: lm_*', /lora_modules_to_save must be a list of module names/],
    ['modules_to_save: [lm_head]', /unknown key modules_to_save; the nearest valid one is lora_modules_to_save/],
    ['layers_to_transform: first', /layers_to_transform must be a list of layers, counted from 0, such as \[0, 2\]/],
    ['layers_to_transform: []', /layers_to_transform must be a list of layers/],
    ['layers_to_transform: [0, -1]', /layers_to_transform must be a list of layers/],
    ['trainable_token_indices: []', /trainable_token_indices must be a list of token ids such as \[5, 17\]/],
    ['trainable_token_indices: {norm: [1]}', /trainable_token_indices must be a list of token ids/],
    ['trainable_token_indices: [1.5]', /trainable_token_indices must be a list of token ids/],
    ['trainable_token_indices: {}', /trainable_token_indices must be a list of token ids/],
    ['model_name_or_path: ""', /model_name_or_path must be text/],
    ['seed: 1\nseed: 2', /not valid YAML: Map keys must be unique at line 2/],
    ['a: [', /run\.yaml is not valid YAML/],
    ['- seed', /must be keys with values/],
    ['seed: &a 1\nlora_r: *a', /alias/],
  ])('refuses %j', (yaml, message) => {
    expect(refusal(yaml)).toMatch(message);
  });

  it('lets the command line win, in either spelling', () => {
    const config = parseRunConfig('seed: 1\nlora_r: 8', {
      seed: '7',
      shuffle: 'false',
      'learning-rate': '1e-3',
      lora_target_modules: 'q_proj, v_proj',
      dataset: '42',
      output_dir: 'a: b',
    });
    expect(config).toMatchObject({
      seed: 7,
      lora_r: 8,
      shuffle: false,
      learning_rate: 1e-3,
      lora_target_modules: ['q_proj', 'v_proj'],
      dataset: '42',
      output_dir: 'a: b',
    });
    expect(parseRunConfig('', { lora_target_modules: '[q_proj]' }).lora_target_modules).toEqual(['q_proj']);
    expect(parseRunConfig('layers_to_transform: 2').layers_to_transform).toEqual([2]);
    expect(parseRunConfig('', { layers_to_transform: '0, 2' }).layers_to_transform).toEqual([0, 2]);
    expect(parseRunConfig('', { lora_modules_to_save: 'embed_tokens, lm_head' }).lora_modules_to_save).toEqual([
      'embed_tokens',
      'lm_head',
    ]);
    const tokens = (value: string) => parseRunConfig('', { trainable_token_indices: value }).trainable_token_indices;
    expect(tokens('5')).toEqual({ embed_tokens: [5] });
    expect(tokens('5, 17')).toEqual({ embed_tokens: [5, 17] });
    expect(tokens('[5, 17]')).toEqual({ embed_tokens: [5, 17] });
    expect(tokens('{lm_head: [40]}')).toEqual({ lm_head: [40] });
    expect(parseRunConfig('lora_target_modules: auto').lora_target_modules).toBe('auto');
    const paths = ['model.layers.0.self_attn.q_proj', 'mlp.up_proj'];
    expect(parseRunConfig(`lora_target_modules: [${paths.join(', ')}]`).lora_target_modules).toEqual(paths);
    expect(refusal('', { lora_rank: '3' })).toMatch(/command line has the unknown key lora_rank; .* lora_r$|lora_r\./);
    expect(refusal('', { seed: 'x' })).toMatch(/seed must be .* but is "x"/);
  });

  it('leaves the prototype alone', () => {
    refusal('__proto__:\n  polluted: true');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe('a hostile run file', () => {
  it('is refused before its nesting takes time', () => {
    const deep = ['? '.repeat(400), '['.repeat(50_000), '- '.repeat(45_000), `seed: ${'[? '.repeat(200)}`];
    // What is closed by a line after it, too: the library closes all of it by recursion.
    for (const yaml of [...deep, `a:\n  ${'- '.repeat(5000)}\nb: 1`, `${': '.repeat(5000)}\nb: 1`]) {
      expect(refusal(yaml)).toMatch(/more than 24 lists and mappings in one another/);
    }
  });

  it('is told where the first of thousands of faults lies', () => {
    const yaml = `seed: 1\nmax_steps: ${'{a: b}'.repeat(10_000)}\n`;
    expect(refusal(yaml)).toMatch(/is not valid YAML: .* at line 2, column 18\.$/);
    expect(refusal('', { seed: `!!binary[${'!!set {a}'.repeat(5000)}` })).toMatch(/seed must be/);
  });

  it('is told of misspelt keys whatever their values', () => {
    expect(refusal('sede: null')).toMatch(/unknown key sede; the nearest valid one is seed/);
    expect(refusal(`${'k'.repeat(50_000)}: 1`)).toMatch(/^.{50,200}$/);
  });

  it.each([
    ['lora_alpha', '1e999'],
    ['lora_alpha', '1e300'],
    ['adam_epsilon', '1e-320'],
    ['weight_decay', '1e40'],
    ['template_date', '+012026-07-01'],
    ['chat_template_kwargs', '{x: [.inf]}'],
    ['seed', 'null'],
    ['seed', ''],
  ])('has no %s of %s', (key, value) => {
    if (value !== '' && value !== 'null') expect(refusal(`${key}: ${value}`)).toMatch(new RegExp(`${key} must be`));
    expect(refusal('', { [key]: value })).toMatch(new RegExp(`${key} must be`));
  });

  it.each(['*.jsonl', '&x', '*', '@data', '`x`', '%TAG', '[', '{', '!!x y', '? '])(
    'takes %s on a command line for text or refuses it',
    (value) => {
      let dataset: string | undefined = value;
      try {
        dataset = parseRunConfig('', { dataset: value }).dataset;
      } catch (error) {
        expect(errorCode(error)).toBe('bad-config');
      }
      expect(dataset).toBeTypeOf('string');
      if (value.endsWith('.jsonl')) expect(dataset).toBe(value);
    },
  );
});

describe('formatRunConfig', () => {
  it('reads back as it was', () => {
    const text = fc.string({ minLength: 1 });
    fc.assert(
      fc.property(
        text,
        text,
        fc.double({ min: 1e-30, max: 1e30, noNaN: true }),
        fc.nat(),
        (dataset, output_dir, rate, seed) => {
          const config: RunConfig = {
            ...parseRunConfig(''),
            dataset,
            output_dir,
            learning_rate: rate,
            seed,
            lora_target_modules: ['q_proj', 'v_proj'],
          };
          expect(parseRunConfig(formatRunConfig(config))).toEqual(config);
        },
      ),
    );
  });

  it('writes numbers that YAML 1.1 readers take for numbers', () => {
    expect(formatRunConfig(parseRunConfig(''))).toContain('adam_epsilon: 1.0e-8\n');
  });

  it('writes every key that has help, in its order', () => {
    const whole = [
      'dataset: x\ndataset_mapping: {question: Frage}\nmax_train_samples: 3\ntemplate_date: 2026-07-01\nlayers_to_transform: [1]\neval_steps: 5',
      'lora_modules_to_save: [lm_head]',
      'prompt_tuning_init_text: be kind',
      'trainable_token_indices: {embed_tokens: [5], lm_head: [5, 40]}',
      'chat_template: "{{ messages }}"\nchat_template_path: t.jinja\nchat_template_kwargs: {enable_thinking: false}\n',
    ].join('\n');
    const keys = [...formatRunConfig(parseRunConfig(whole)).matchAll(/^(\w+):/gm)].map(([, key]) => key);
    expect(keys).toEqual(Object.keys(RUN_CONFIG_KEYS));
    for (const line of Object.values(RUN_CONFIG_KEYS)) expect(line).toMatch(/^.{10,100}\.$/);
  });
});

describe('nearest', () => {
  it('counts edits', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'abc')).toBe(3);
    expect(nearest('lora-R', ['seed', 'lora_r'])).toBe('lora_r');
  });
});
