import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { encodeUtf8 } from '../../../src/core/store';
import { memorySource } from '../../../src/formats/sources';
import { formatRunConfig, parseRunConfig } from '../../../src/core/config';
import { formatBytes, parseBytes } from '../../../src/core/bytes';
import { fitToBudget, openShape, planRun, readPrompts } from '../../../src/recipes';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { trainSetup } from '../../../src/recipes/steps/options';
import { expectError, run } from './support';
import { planSession } from '../../../src/engine/session/plan-session';

const GIB = 2 ** 30;

const shape = (name: string) =>
  openShape(
    memorySource(name, { 'config.json': new Uint8Array(readFileSync(`test/fixtures/configs/${name}/config.json`)) }),
  );

test('training on a token takes six flops a parameter; an adapter without gradients of weights about four', async () => {
  const model = await shape('TinyLlama-1.1B');
  const options = { per_device_train_batch_size: '4', max_length: '512', gradient_checkpointing: 'false' };
  const whole = planRun(run({ ...options, use_peft: 'false' }), model);
  const perParameter = whole.flopsPerToken / whole.totalParameters;
  expect(perParameter).toBeGreaterThan(5.5);
  expect(perParameter).toBeLessThan(7.5);
  const adapter = planRun(run({ ...options, lora_r: '8' }), model).flopsPerToken / whole.totalParameters;
  expect(adapter).toBeGreaterThan(3.5);
  expect(adapter).toBeLessThan(5);
});

describe('modules that are trained whole', () => {
  const TABLE = 49_152 * 576;

  test('are counted with their gradients and moments, beside the weights that they begin as', async () => {
    const model = await shape('SmolLM2-135M');
    const options = { per_device_train_batch_size: '1', max_length: '256' };
    const plain = planRun(run(options), model);
    const saved = planRun(run({ ...options, lora_modules_to_save: 'lm_head' }), model);
    expect(saved.trainableParameters - plain.trainableParameters).toBe(TABLE);
    expect(saved.totalParameters - plain.totalParameters).toBe(TABLE);
    const grown = (kind: 'weights' | 'adapter' | 'gradients' | 'optimizer') =>
      saved.memory.bytes[kind] - plain.memory.bytes[kind];
    expect([grown('weights'), grown('adapter'), grown('gradients'), grown('optimizer')]).toEqual([
      0,
      4 * TABLE,
      4 * TABLE,
      8 * TABLE,
    ]);
    const one = planRun(run({ ...options, lora_modules_to_save: 'lm_head', ensure_weight_tying: 'true' }), model);
    expect([one.trainableParameters, one.memory.bytes.weights]).toEqual([
      saved.trainableParameters,
      saved.memory.bytes.weights,
    ]);
  });

  test('are counted by rows where only some tokens of a table are', async () => {
    const model = await shape('SmolLM2-135M');
    const options = { per_device_train_batch_size: '1', max_length: '256' };
    const plain = planRun(run(options), model);
    const rows = planRun(run({ ...options, trainable_token_indices: '5,17,40' }), model);
    expect(rows.trainableParameters - plain.trainableParameters).toBe(3 * 576);
    const grown = (kind: 'weights' | 'adapter' | 'gradients' | 'optimizer') =>
      rows.memory.bytes[kind] - plain.memory.bytes[kind];
    const bytes = 4 * 3 * 576;
    expect([grown('weights'), grown('adapter'), grown('gradients'), grown('optimizer')]).toEqual([
      0,
      bytes,
      bytes,
      2 * bytes,
    ]);
  });

  test('are not made to begin in 8 bits by a budget', async () => {
    const model = await shape('SmolLM2-135M');
    const asked = run({ lora_modules_to_save: 'embed_tokens' });
    // What fits only with measures that come after 8 bits for the embeddings.
    const measures = { gradient_accumulation_steps: 16, checkpoint_dtype: 'bfloat16', checkpoint_layers: 2 } as const;
    const tight = { ...asked, ...measures, per_device_train_batch_size: 1, mlp_chunk_size: 512 };
    const budget = planRun(tight, model).memory.totalBytes;
    const { run: chosen, plan } = fitToBudget(asked, model, budget);
    expect([chosen.embedding_dtype, chosen.checkpoint_dtype]).toEqual(['auto', 'bfloat16']);
    expect(plan.memory.totalBytes).toBeLessThanOrEqual(budget);
  });
});

describe('plans of known shapes', () => {
  // Parameters as their model cards and safetensors indexes count them.
  const cases: [name: string, parameters: number][] = [
    ['SmolLM2-135M', 134_515_008],
    ['TinyLlama-1.1B', 1_100_048_384],
    ['Llama-3.2-1B', 1_235_814_400],
    ['Llama-3-8B', 8_030_261_248],
    ['Llama-3.1-8B', 8_030_261_248],
    ['SmolLM3-3B', 3_075_098_624],
    ['Mistral-7B-v0.3', 7_248_023_552],
    ['Qwen2.5-0.5B', 494_032_768],
    ['Qwen3-0.6B', 596_049_920],
    ['Phi-3-mini-4k', 3_821_079_552],
    ['gemma-3-1b', 999_885_952],
  ];
  for (const [name, parameters] of cases) {
    test(name, async () => {
      const model = await shape(name);
      const options = { lora_r: '8', per_device_train_batch_size: '1', max_length: '256' };
      const plan = planRun(run(options), model);
      const { bytes, totalBytes } = plan.memory;
      expect(plan.totalParameters - plan.trainableParameters).toBe(parameters);
      // 16-bit weights, but for norms, biases and rotary tables.
      expect(bytes.weights).toBeGreaterThanOrEqual(2 * parameters);
      expect(bytes.weights).toBeLessThan(2.01 * parameters);
      expect(bytes.adapter).toBeGreaterThanOrEqual(4 * plan.trainableParameters);
      expect(bytes.optimizer).toBe(2 * bytes.gradients);
      expect(totalBytes).toBe(Object.values<number>({ ...bytes }).reduce((a, b) => a + b, 0));
      expect(planRun(run({ ...options, dtype: 'float32' }), model).memory.bytes.weights).toBeGreaterThanOrEqual(
        4 * parameters,
      );
    });
  }

  test('every parameter trained: weights, gradients and two moments in f32', async () => {
    const options = run({ use_peft: 'false', per_device_train_batch_size: '1', max_length: '64' });
    const { memory, trainableParameters } = planRun(options, await shape('SmolLM2-135M'));
    expect(trainableParameters).toBe(134_515_008);
    expect(memory.bytes.gradients).toBeGreaterThanOrEqual(4 * trainableParameters);
    expect(memory.bytes.optimizer).toBeGreaterThanOrEqual(8 * trainableParameters);
  });
});

describe('what grows with the length', () => {
  const lengths = [512, 1024, 2048, 4096, 8192];
  const options = (length: number) =>
    run({ load_in_4bit: 'true', per_device_train_batch_size: '1', max_length: String(length) });

  test('grows in proportion to it, and never holds the logits of all tokens', async () => {
    const model = await shape('Llama-3.2-1B');
    const bytes = lengths.map((length) => {
      const { activations, workspace } = planRun(options(length), model).memory.bytes;
      return activations + workspace;
    });
    // Bytes a further token, between one length and the next: a quadratic term would double them each time.
    const slopes = bytes.slice(1).map((more, i) => (more - bytes[i]!) / (lengths[i + 1]! - lengths[i]!));
    for (const slope of slopes) expect(slope / slopes[0]!).toBeCloseTo(1, 1);
    lengths.forEach((length, i) => {
      if (length >= 1024) expect(bytes[i]).toBeLessThan(4 * length * model.spec.vocabSize);
    });
    expect(slopes.at(-1)).toBeLessThan(4 * model.spec.vocabSize);
  });

  test('fits the bindings that every device has, tables in parts', async () => {
    const model = await shape('Llama-3.2-1B');
    const small = { load_in_4bit: 'true', per_device_train_batch_size: '1', max_length: '512' };
    const others: Record<string, string>[] = [
      {},
      { embedding_dtype: 'q8' },
      { use_peft: 'false', load_in_4bit: 'false' },
    ];
    for (const other of others) {
      const { setup, train } = trainSetup(run({ ...small, ...other }), model, [512]);
      const planned = planSession(setup, { train }, PLAIN);
      const sizes = [...planned.buffers, ...planned.programs.slots].map(({ bytes }) => bytes);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(128 * 2 ** 20);
    }
  });
});

describe('a budget', () => {
  const written = run({
    per_device_train_batch_size: '8',
    gradient_accumulation_steps: '3',
    gradient_checkpointing: 'false',
    max_length: '256',
  });

  test('that is large enough changes nothing', async () => {
    expect(fitToBudget(written, await shape('SmolLM2-135M'), 64 * GIB).run).toEqual(written);
  });

  test('gets the largest micro-batch that fits, at the same rows an optimiser step', async () => {
    const model = await shape('SmolLM2-135M');
    const { run: chosen, plan } = fitToBudget(written, model, 1.5 * GIB);
    expect(plan.memory.totalBytes).toBeLessThanOrEqual(1.5 * GIB);
    const { per_device_train_batch_size: size, gradient_accumulation_steps: steps } = chosen;
    expect(size * steps).toBe(24);
    expect(size).toBeLessThan(8);
    const next = [2, 3, 4, 6, 8].find((divisor) => divisor > size)!;
    const larger = { ...chosen, per_device_train_batch_size: next };
    expect(planRun(larger, model).memory.totalBytes).toBeGreaterThan(1.5 * GIB);
  });

  test('switches checkpointing on only where nothing fits without it', async () => {
    const model = await shape('SmolLM2-135M');
    const single = { ...written, per_device_train_batch_size: 1, gradient_accumulation_steps: 24 };
    const least = planRun(single, model).memory.totalBytes;
    expect(fitToBudget(written, model, least).run).toEqual(single);
    expect(fitToBudget(written, model, least - 1).run.gradient_checkpointing).toBe(true);
  });

  describe('smaller and smaller', () => {
    const asked = run({ per_device_train_batch_size: '2', gradient_checkpointing: 'false', max_length: '2048' });
    const keysAt = async (share: number) => {
      const model = await shape('SmolLM2-135M');
      const budget = Math.floor(share * planRun(asked, model).memory.totalBytes);
      const fitted = fitToBudget(asked, model, budget);
      expect(fitted.plan.memory.totalBytes).toBeLessThanOrEqual(budget);
      // The choices are the run: nothing else has changed, and each has its reason.
      const changed = Object.fromEntries(fitted.choices.map(({ key, value }) => [key, value]));
      expect(fitted.run).toEqual({ ...asked, ...changed });
      fitted.choices.forEach(({ why }) => expect(why).toMatch(/^.{20,160}\.$/));
      // The run file says it all.
      const read = parseRunConfig(formatRunConfig(fitted.run));
      expect(planRun(read, model).memory).toEqual(fitted.plan.memory);
      // And nothing was changed without need.
      for (const { key, value } of fitted.choices) {
        if (value === asked[key] || key === 'gradient_accumulation_steps') continue;
        expect(planRun({ ...fitted.run, [key]: asked[key] }, model).memory.totalBytes, key).toBeGreaterThan(budget);
      }
      return fitted.choices.map(({ key }) => key);
    };

    test('takes what costs least first, and takes back what it no longer needs', async () => {
      const rows = ['per_device_train_batch_size', 'gradient_accumulation_steps'];
      expect(await keysAt(1)).toEqual([]);
      expect(await keysAt(0.6)).toEqual(rows);
      expect(await keysAt(0.4)).toEqual(['gradient_checkpointing']);
      expect(await keysAt(0.2)).toEqual([...rows, 'gradient_checkpointing']);
    });
  });

  test('cuts rows only where that is allowed, and no more than needed', async () => {
    const model = await shape('SmolLM2-135M');
    const asked = run({ per_device_train_batch_size: '1', max_length: '1024', dtype: 'bfloat16' });
    const budget = 0.36 * GIB;
    await expectError(
      () => fitToBudget(asked, model, budget),
      'out-of-memory',
      /set load_in_4bit: true.*lower max_length/,
    );
    const { run: chosen, plan, choices } = fitToBudget(asked, model, budget, undefined, { shorten: true });
    expect(choices.map(({ key }) => key)).toContain('max_length');
    expect(plan.lengths).toEqual([chosen.max_length]);
    const longer = { ...chosen, max_length: chosen.max_length + 64 };
    expect(planRun(longer, model).memory.totalBytes).toBeGreaterThan(budget);
  });

  // What people are told that these cards train, with rank 16 on all linears and 4-bit weights.
  const cards: [name: string, length: number, gib: number][] = [
    ['Llama-3.2-1B', 512, 1.5],
    ['Llama-3-8B', 3000, 8],
    ['Llama-3.1-8B', 22_000, 12],
  ];
  test.each(cards)(
    'holds %s at length %i in %d GiB',
    async (name, length, gib) => {
      const asked = run({
        load_in_4bit: 'true',
        optim: 'adamw_8bit',
        per_device_train_batch_size: '1',
        max_length: String(length),
      });
      const fitted = fitToBudget(asked, await shape(name), gib * GIB);
      expect(fitted.plan.memory.totalBytes).toBeLessThanOrEqual(gib * GIB);
      expect(fitted.plan.lengths).toEqual([length]);
      expect(parseRunConfig(formatRunConfig(fitted.run))).toEqual(fitted.run);
    },
    180_000,
  );

  test('into which nothing fits says what the least would be', async () => {
    const model = await shape('SmolLM2-135M');
    await expectError(
      () => fitToBudget(written, model, GIB / 8),
      'out-of-memory',
      /Nothing fits 128\.00 MiB: .* needs \d+\.\d\d MiB/,
    );
  });

  test('is written as people write sizes', async () => {
    expect(['8GiB', '8G', '8GB', '1.5 gib', '500MB', '1024', '2kb'].map((size) => parseBytes(size))).toEqual([
      8 * GIB,
      8 * GIB,
      8e9,
      1.5 * GIB,
      5e8,
      1024,
      2000,
    ]);
    for (const wrong of ['', 'lots', '8XB', '-1GiB', 'GiB'])
      await expectError(() => parseBytes(wrong), 'bad-config', /8GiB/);
    expect([formatBytes(12), formatBytes(1536), formatBytes(3 * GIB)]).toEqual(['12 bytes', '1.50 KiB', '3.00 GiB']);
  });
});

describe('a file of prompts', () => {
  const read = (rows: object[], raw = false) =>
    readPrompts('p.jsonl', encodeUtf8(rows.map((row) => JSON.stringify(row)).join('\n')), raw);

  test('takes the fields that datasets have, and leaves answers aside', async () => {
    const user = (content: string) => ({ kind: 'chat', messages: [{ role: 'user', content }] });
    const rows = [
      { prompt: 'a' },
      { question: 'b', answer: 'x' },
      { instruction: 'c', input: 'd', output: 'x' },
      {
        messages: [
          { role: 'user', content: 'e' },
          { role: 'assistant', content: 'x' },
        ],
      },
      { input_ids: [1, 2] },
    ];
    const prompts = await read(rows);
    expect(prompts.map(({ prompt }) => prompt)).toEqual([
      { ...user('a'), where: 'p.jsonl, line 1' },
      { ...user('b'), where: 'p.jsonl, line 2' },
      { ...user('c\nd'), where: 'p.jsonl, line 3' },
      { ...user('e'), where: 'p.jsonl, line 4' },
      { kind: 'tokens', ids: [1, 2], where: 'p.jsonl, line 5' },
    ]);
    expect(prompts.map(({ row }) => row)).toEqual(rows);
    expect((await read([{ prompt: 'a' }], true))[0]!.prompt).toMatchObject({ kind: 'text', text: 'a' });
  });

  test('reads every row that is trained on, up to its last answer, with what the template gets beside', async () => {
    const user = (content: string) => ({ role: 'user', content });
    const assistant = (content: string) => ({ role: 'assistant', content });
    const tools = [{ type: 'function', function: { name: 'tide' } }];
    const rows: [row: object, messages: object[], beside?: object][] = [
      [
        {
          conversations: [
            { from: 'human', value: 'a' },
            { from: 'gpt', value: 'b' },
          ],
        },
        [user('a')],
      ],
      [
        { system: 's', history: [['a', 'b']], instruction: 'c', output: 'd' },
        [{ role: 'system', content: 's' }, user('a'), assistant('b'), user('c')],
      ],
      [{ messages: [user('a'), assistant('b'), user('c')] }, [user('a'), assistant('b'), user('c')]],
      [{ prompt: [user('a')], completion: [assistant('b')] }, [user('a')]],
      [{ context: 'x', question: 'a', answer: '' }, [user('x\n\na')]],
      [{ query: 'a', response: 'b', tools }, [user('a')], { tools }],
      [{ input: 'a' }, [user('a')]],
      [{ prompt: 'a', chosen: 'b', rejected: 'c' }, [user('a')]],
      [
        { messages: [user('a')], chat_template_kwargs: { enable_thinking: false } },
        [user('a')],
        {
          variables: { enable_thinking: false },
        },
      ],
    ];
    const prompts = await read(rows.map(([row]) => row));
    expect(prompts.map(({ prompt }) => prompt)).toEqual(
      rows.map(([, messages, beside], i) => ({ kind: 'chat', messages, ...beside, where: `p.jsonl, line ${i + 1}` })),
    );
    expect((await read([{ text: 'a' }]))[0]!.prompt).toMatchObject({ kind: 'text', text: 'a' });
    expect((await read([{ input_ids: [1, 2, 0], attention_mask: [1, 1, 0] }]))[0]!.prompt).toMatchObject({
      kind: 'tokens',
      ids: [1, 2],
    });
    const masked = { input_ids: [1, 2, 3, 4, 5, 6], labels: [-100, 2, -100, -100, 5, 6] };
    expect((await read([masked]))[0]!.prompt).toMatchObject({ kind: 'tokens', ids: [1, 2, 3, 4] });
    const raw = await read([{ instruction: 'a', input: 'b' }, { messages: [user('a')] }], true);
    expect(raw.map(({ prompt }) => prompt.kind)).toEqual(['text', 'chat']);
  });

  test('names the line of a row without one', async () => {
    await expectError(
      () => read([{ prompt: 'a' }, { body: 'b' }]),
      'bad-data',
      /p\.jsonl, line 2 has only "body"; it needs question and answer/,
    );
    await expectError(() => read([{ messages: [{ role: 'alien', content: 'x' }] }]), 'bad-data', /line 1 .* message 1/);
    await expectError(() => read([{ prompt: 'a', images: ['x'] }]), 'bad-data', /line 1 has images/);
    await expectError(
      () => read([{ messages: [{ role: 'assistant', content: 'x' }] }]),
      'bad-data',
      /no message to answer/,
    );
    const broken = readPrompts('p.jsonl', encodeUtf8('{"prompt": "a"}\n{"prompt": nan}'), false);
    await expect(broken).rejects.toThrow('p.jsonl: row 2 is not valid JSON at line 2, column 12: unexpected "nan".');
  });
});
