import { describe, expect, test } from 'vitest';
import { formatRunConfig, parseGivenRun, type RunConfig, type RunConfigKey } from '../../../src/core/config';
import { readSpec } from '../../../src/formats/model';
import { encodeUtf8 } from '../../../src/core/store';
import { arrangeData, prepareData, readData } from '../../../src/recipes/steps/data';
import { targetedLinears } from '../../../src/core/spec';
import { chooseWeightDType, openShape, refuseContradictions, trainSetup } from '../../../src/recipes/steps/options';
import { idleKeyNotices } from '../../../src/recipes/steps/idle-keys';
import { adapterNotices, checkSameRun, resolveRun } from '../../../src/recipes/steps/resolve';
import {
  epochsAt,
  evaluationIsDue,
  roundEpoch,
  startOfRun,
  trainerState,
} from '../../../src/recipes/steps/trainer-state';
import { Pace } from '../../../src/recipes/steps/pace';
import { VERSION } from '../../../src/core/version';
import { expectError, run, tinyModel, tokenRows } from './support';
import { readFileSync } from 'node:fs';

const shape = async (config = {}) => ({ spec: await readSpec(await tinyModel(config)), weightDType: 'bf16' as const });

describe('a run and a model to options', () => {
  test('weights are kept as stored unless the run says otherwise', () => {
    expect([chooseWeightDType('auto', 'bf16'), chooseWeightDType('auto', 'f32')]).toEqual(['bf16', 'f32']);
    expect([chooseWeightDType('float32', 'bf16'), chooseWeightDType('float16', 'f32')]).toEqual(['f32', 'f16']);
  });

  test('training every parameter takes f32 and no adapter', async () => {
    const { setup } = trainSetup(run({ use_peft: 'false' }), await shape(), [8]);
    expect(setup.weightDType).toBe('f32');
    expect(setup.lora).toBeUndefined();
  });

  test('settings that exclude each other are refused by name, with what to set', async () => {
    for (const key of ['load_in_4bit: true', 'embedding_dtype: q8']) {
      const [name, value] = key.split(': ') as [string, string];
      await expectError(
        () => refuseContradictions(run({ [name]: value, use_peft: 'false' })),
        'bad-config',
        /set use_peft: true/,
      );
    }
  });

  test('config.json alone says how weights are stored, under its old and its new key', async () => {
    expect((await openShape(await tinyModel({ dtype: 'bfloat16' }))).weightDType).toBe('bf16');
    expect((await openShape(await tinyModel({ dtype: undefined, torch_dtype: 'float16' }))).weightDType).toBe('f16');
    expect((await openShape(await tinyModel({ dtype: undefined }))).weightDType).toBe('f32');
  });
});

describe('a resolved run', () => {
  test('makes every choice that was left to the model, once', async () => {
    const model = await shape();
    const resolved = resolveRun(run(), model);
    expect(resolved).toMatchObject({ dtype: 'bfloat16', max_length: 64 });
    expect(resolved.lora_target_modules).toHaveLength(7);
    expect(resolveRun(resolved, model)).toEqual(resolved);
  });

  test('adapts the linears of the layers that are named, and only those', async () => {
    const model = await shape();
    const resolved = resolveRun(run({ lora_target_modules: 'q_proj,down_proj', layers_to_transform: '1' }), model);
    const linears = ['model.layers.1.self_attn.q_proj', 'model.layers.1.mlp.down_proj'];
    expect(resolved.lora_target_modules).toEqual(linears);
    expect(resolveRun(resolved, model)).toEqual(resolved);
    const { setup } = trainSetup(resolved, model, [8]);
    expect(targetedLinears(model.spec, setup.lora!).map(({ name }) => name)).toEqual(linears);
    const all = resolveRun(run({ layers_to_transform: '0,1' }), model);
    expect(all.lora_target_modules).toHaveLength(7);
    await expectError(
      () => resolveRun(run({ layers_to_transform: '2' }), model),
      'bad-config',
      /names layer 2, and the model has layers 0 to 1/,
    );
    await expectError(
      () => resolveRun(run({ lora_target_modules: 'layers.0.self_attn.q_proj', layers_to_transform: '1' }), model),
      'bad-config',
      /leaves nothing of lora_target_modules/,
    );
  });

  test.each([
    [{ lora_modules_to_save: 'score' }, /names "score", which the model hasn't: name embed_tokens, lm_head, norm/],
    [{ lora_modules_to_save: 'mlp' }, /both mean model\.layers\.0\.mlp\.gate_proj/],
    [{ lora_modules_to_save: 'lm_head', embedding_dtype: 'q8' }, /embedding_dtype: q8 keeps in 8 bits/],
    [{ lora_modules_to_save: 'norm', ensure_weight_tying: 'true' }, /with embed_tokens or lm_head: name one/],
    [{ lora_modules_to_save: 'lm_head', use_peft: 'false' }, /lora_modules_to_save is for use_peft: true/],
    [{ trainable_token_indices: '5,99999' }, /names token 99999, and the model has tokens 0 to \d+: leave it out/],
    [{ trainable_token_indices: '5,7,5' }, /names token 5 twice/],
    [{ trainable_token_indices: '{lm_head: [5]}' }, /this model's head is its embedding: name the tokens under/],
    [{ trainable_token_indices: '5', lora_modules_to_save: 'embed_tokens' }, /both mean embed_tokens: a table is/],
    [{ trainable_token_indices: '5', lora_modules_to_save: 'lm_head' }, /both mean lm_head: a table is/],
    [{ trainable_token_indices: '5', use_peft: 'false' }, /trainable_token_indices is for use_peft: true/],
    [{ layers_to_transform: '0', use_peft: 'false' }, /layers_to_transform is for use_peft: true/],
  ])('refuses to train whole what it can not: %j', async (keys, message) => {
    const model = await shape();
    await expectError(() => trainSetup(run(keys), model, [8]), 'bad-config', message);
  });

  test('refuses to tie what the model has apart', async () => {
    const { spec, weightDType } = await shape();
    const untied = { spec: { ...spec, tieWordEmbeddings: false }, weightDType };
    const asked = run({ lora_modules_to_save: 'lm_head', ensure_weight_tying: 'true' });
    await expectError(() => trainSetup(asked, untied, [8]), 'bad-config', /this one's is not: take it out/);
  });

  test('takes the shape of the adapter that it goes on from', async () => {
    const model = await shape();
    const lora = { r: 2, alpha: 5, dropout: 0, targetModules: ['v_proj', 'q_proj'], useRslora: true, useDora: false };
    const broken = { name: 'adapter', content: { lora, baseModel: '', tensors: [] } };
    await expectError(() => resolveRun(run(), model, broken), 'bad-file', /adapter lacks the tensor/);
    await expectError(() => resolveRun(run({ use_peft: 'false' }), model, broken), 'bad-config', /use_peft: false/);
  });

  test('says what of it is left out: by an adapter to go on from, or where there is none', async () => {
    const { spec } = await shape();
    const notices = (asked: RunConfig, resolved: RunConfig, ...given: RunConfigKey[]) =>
      adapterNotices(asked, resolved, spec, new Set(given));
    const asked = run({ lora_r: '8', lora_target_modules: 'v_proj,q_proj', use_dora: 'true' });
    const brought = { ...asked, lora_r: 2, lora_target_modules: ['q_proj', 'v_proj'], use_dora: false };
    expect(notices(asked, brought)).toEqual([
      'lora_r is 2, as the adapter to go on from has it, instead of 8.',
      'use_dora is false, as the adapter to go on from has it, instead of true.',
    ]);
    expect(notices(asked, { ...brought, lora_target_modules: ['k_proj'] })).toContain(
      'lora_target_modules is k_proj, as the adapter to go on from has it, instead of v_proj,q_proj.',
    );
    expect(notices(run(), { ...brought, lora_target_modules: ['k_proj'] })).toEqual([]);
    const whole = { ...asked, use_peft: false };
    expect(notices(whole, whole)).toEqual([
      'use_peft: false trains every parameter, and leaves out what is of an adapter: lora_r, lora_target_modules, use_dora.',
    ]);
  });

  test('says so too of what was given as it is by default', async () => {
    const { spec, weightDType } = await shape();
    const read = (yaml: string, flags: Record<string, string> = {}) => {
      const { run, given } = parseGivenRun(yaml, flags);
      return { run, given, notices: (resolved: RunConfig) => adapterNotices(run, resolved, spec, given) };
    };
    const brought = { ...run({ lora_target_modules: 'q_proj' }), lora_r: 2, lora_dropout: 0 };
    const dropout = 'lora_dropout is 0, as the adapter to go on from has it, instead of 0.05.';
    const rank = 'lora_r is 2, as the adapter to go on from has it, instead of 16.';
    const linears = 'lora_target_modules is q_proj, as the adapter to go on from has it, instead of all-linear.';
    expect(read('').notices(brought)).toEqual([]);
    expect(read('lora_dropout: 0.05', { 'lora-r': '16' }).notices(brought)).toEqual([rank, dropout]);
    expect(read('lora_r:\nlora_target_modules: all-linear').notices(brought)).toEqual([linears]);
    // The same linears, by whatever names.
    const all = resolveRun(run(), { spec, weightDType });
    expect(read('lora_target_modules: all-linear').notices(all)).toEqual([]);
    expect(
      read('', { lora_target_modules: 'q_proj', layers_to_transform: '0' }).notices({
        ...all,
        lora_target_modules: ['model.layers.0.self_attn.q_proj'],
      }),
    ).toEqual([]);
    // A file with every key says of none that somebody meant it.
    expect(read(formatRunConfig(run())).given).toEqual(new Set());
    expect(read(formatRunConfig(run()), { lora_r: '16' }).notices(brought)).toEqual([rank]);
    const whole = read('', { use_peft: 'false', lora_r: '16' });
    expect(whole.notices(whole.run)).toEqual([
      'use_peft: false trains every parameter, and leaves out what is of an adapter: lora_r.',
    ]);
  });

  test('says which of the keys that were given have no effect, and why', () => {
    const notices = (yaml: string) => {
      const { run, given } = parseGivenRun(yaml);
      return idleKeyNotices(run, given);
    };
    expect(notices('max_steps: 4\nwarmup_ratio: 0.03\npower: 1\nuse_bnb_nested_quant: true\nbeta: 0.1')).toEqual([
      'These keys have no effect in this run: power (for lr_scheduler_type: polynomial), use_bnb_nested_quant (for ' +
        'load_in_4bit: true), beta (for method: dpo or distill).',
    ]);
    expect(notices('max_steps: 4\nnum_train_epochs: 3\nwarmup_ratio: 0.1\nwarmup_steps: 2')).toEqual([
      'These keys have no effect in this run: num_train_epochs (max_steps: 4 replaces it), warmup_ratio (warmup_steps: 2 ' +
        'replaces it).',
    ]);
    expect(
      notices('lr_scheduler_type: constant\nwarmup_steps: 2\ngradient_checkpointing: false\ncheckpoint_layers: 1'),
    ).toEqual([
      'These keys have no effect in this run: warmup_steps (lr_scheduler_type: constant has none), checkpoint_layers (for ' +
        'gradient_checkpointing: true).',
    ]);
    expect(
      notices('lr_scheduler_type: polynomial\npower: 1\nwarmup_steps: 2\nload_in_4bit: true\nmethod: dpo\nbeta: 0.1'),
    ).toEqual([]);
    // What is off is missed nowhere.
    expect(notices('early_stopping_patience: 0\nuse_bnb_nested_quant: false\nwarmup_steps: 0\nloss_top_k: 0')).toEqual(
      [],
    );
    expect(idleKeyNotices(run({ power: '2' }))).toEqual([]);
  });

  test('may be resumed with other paths and other intervals, and with nothing else changed', async () => {
    const model = await shape();
    const started = resolveRun(run(), model);
    const same = resolveRun(run({ output_dir: 'elsewhere', save_steps: '3', logging_steps: '2', dataset: 'x' }), model);
    expect(() => checkSameRun(same, started)).not.toThrow();
    const changed = resolveRun(run({ lora_r: '4' }), model);
    await expectError(() => checkSameRun(changed, started), 'bad-config', /lora_r is 4, .* started with 16/);
  });
});

describe('data of a run', () => {
  test('steps, split and lengths', async () => {
    const model = { ...(await shape()), tokenizer: undefined, template: undefined };
    const file = { name: 'rows.jsonl', bytes: tokenRows(21) };
    const data = await prepareData(run({ val_set_size: '3', num_train_epochs: '2' }), model, file);
    expect([data.train.length, data.eval.length]).toEqual([18, 3]);
    // 18 rows are 5 micro-batches of 4, and those 2 steps of 4 micro-batches.
    expect([data.stepsPerEpoch, data.totalSteps]).toEqual([2, 4]);
    expect(data.lengths.at(-1)).toBe(16);
    expect((await prepareData(run({ max_steps: '7' }), model, file)).totalSteps).toBe(7);
    expect((await prepareData(run({ num_train_epochs: '0.5' }), model, file)).totalSteps).toBe(1);
  });

  test('more unusable rows than the run allows are read all the same, and refused before a run is made of the rest', async () => {
    const model = { ...(await shape()), tokenizer: undefined, template: undefined };
    const good = '{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}\n';
    const file = { name: 'rows.jsonl', bytes: encodeUtf8(`${good}{"input_ids": [1, 2], "labels": [1]}\n${good}`) };
    const data = await readData(run(), model, file);
    expect([data.tokenized.examples.length, data.skipped.map(({ row }) => row)]).toEqual([2, [2]]);
    await expectError(
      () => arrangeData(run(), model, data),
      'bad-data',
      /1 of 3 rows can't be used, and max_bad_rows 0.1/,
    );
    expect(arrangeData(run({ max_bad_rows: '0.34' }), model, data).train).toHaveLength(2);
  });

  test('a batch that is mostly empty is said', async () => {
    const model = { ...(await shape()), tokenizer: undefined, template: undefined };
    const file = { name: 'rows.jsonl', bytes: encodeUtf8('{"input_ids": [1, 2], "labels": [-100, 2]}\n'.repeat(2)) };
    const notices = async (size: string) =>
      (await prepareData(run({ per_device_train_batch_size: size }), model, file)).notices;
    expect(await notices('16')).toEqual([
      'per_device_train_batch_size is 16, and there are 2 rows to train on: the rest of each batch is empty, and takes ' +
        'time and memory all the same. 2 trains the same.',
    ]);
    expect(await notices('4')).toEqual([]);
  });

  test('packed rows are what steps and lengths go by', async () => {
    const model = { ...(await shape()), tokenizer: undefined, template: undefined };
    const file = { name: 'rows.jsonl', bytes: tokenRows(21) };
    const data = await prepareData(run({ packing: 'true', max_length: '30', val_set_size: '3' }), model, file);
    const tokens = (examples: readonly { inputIds: readonly number[] }[]) =>
      examples.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
    expect([data.train.length, data.eval.flat().length]).toEqual([18, 3]);
    expect(data.trainRows).toBe(Math.ceil(tokens(data.train) / 30));
    expect(data.eval).toHaveLength(Math.ceil(tokens(data.eval.flat()) / 30));
    expect(data.stepsPerEpoch).toBe(Math.ceil(Math.ceil(data.trainRows / 4) / 4));
    expect(data.lengths.at(-1)).toBe(30);
  });
});

describe('the log', () => {
  // 5 micro-batches an epoch, 2 a step: the third step of an epoch has one.
  const epoch = { stepsPerEpoch: 3, totalSteps: 9, microBatchesPerEpoch: 5, gradientAccumulationSteps: 2 };

  test('counts epochs by micro-batches, as Transformers does', () => {
    const epochs = [0, 1, 2, 3, 4].map((step) => roundEpoch(epochsAt(step, epoch)));
    expect(epochs).toEqual([0, 0.4, 0.8, 1, 1.4]);
    expect(roundEpoch(1 / 3)).toBe(0.3333);
  });

  test('evaluates every eval_steps and at the end, once each', () => {
    const due = (step: number, log: ReturnType<typeof startOfRun>['log'] = []) =>
      evaluationIsDue({ ...startOfRun(), step, log }, run({ eval_steps: '4' }), 9);
    expect([0, 1, 4, 5, 8, 9].map((step) => due(step))).toEqual([false, false, true, false, true, true]);
    expect(due(4, [{ epoch: 1, step: 4, loss: 1 }])).toBe(true);
    expect(due(4, [{ epoch: 1, step: 4, eval_loss: 1 }])).toBe(false);
  });

  test('evaluates at least five times where eval_steps is absent, and no run of many steps more often than it was', () => {
    const count = (totalSteps: number) =>
      Array.from({ length: totalSteps + 1 }, (_, step) => step).filter((step) =>
        evaluationIsDue({ ...startOfRun(), step }, run(), totalSteps),
      ).length;
    expect([1, 4, 5, 6, 9, 18, 124].map(count)).toEqual([1, 4, 5, 6, 9, 6, 6]);
    expect(count(1000)).toBe(40);
    const epoch = { stepsPerEpoch: 18, totalSteps: 18, microBatchesPerEpoch: 18, gradientAccumulationSteps: 1 };
    expect(trainerState(startOfRun(), run(), epoch).eval_steps).toBe(3);
  });

  test('the pace leaves out the first step, which builds pipelines', () => {
    const pace = new Pace();
    pace.add(100, 50);
    expect(pace.tokensPerSecond).toBe(2);
    pace.add(100, 1);
    pace.add(300, 1);
    expect(pace.tokensPerSecond).toBe(200);
    expect(pace.secondsFor(6)).toBe(6);
  });
});

test('the version is the package’s', () => {
  expect((JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version).toBe(VERSION);
});
