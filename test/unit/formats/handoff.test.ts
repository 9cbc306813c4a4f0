/** The files that other trainers get, by what their parsers make of them. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseRunConfig } from '../../../src/core/config';
import { decodeUtf8 } from '../../../src/core/store';
import {
  accelerateHandoff,
  axolotlHandoff,
  llamaFactoryHandoff,
  trlHandoff,
  type Handoff,
  type HandoffPlan,
  type Turns,
} from '../../../src/formats/handoff';

function plan(keys: Record<string, string> = {}, changes: Partial<HandoffPlan> = {}): HandoffPlan {
  return {
    run: parseRunConfig('', { lora_target_modules: '[q_proj, v_proj]', dtype: 'bfloat16', ...keys }),
    model: 'org/name',
    revision: 'abc',
    stepsDone: 5,
    totalSteps: 20,
    warmupSteps: 2,
    learningRate: 1e-5,
    hasTest: false,
    hasOwnTemplate: false,
    ...changes,
  };
}

const turns = (...contents: string[]): Turns => ({
  where: 'Row 1 of faq.jsonl',
  messages: contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })),
  isTrainedWhole: true,
});

function fileOf({ files }: Handoff, path: string): string {
  return decodeUtf8(files.find((file) => file.path === path)!.bytes);
}

describe('a YAML file', () => {
  it('has numbers that YAML 1.1 takes for numbers, too', () => {
    const text = fileOf(trlHandoff(plan({ adam_epsilon: '1e-8', learning_rate: '2e-7' })), 'trl.yaml');
    expect(text).toMatch(/^adam_epsilon: 1\.0e-8$/m);
    expect(text).toMatch(/^learning_rate: 2\.0e-7$/m);
    // PyYAML's pattern of a float asks for a point.
    for (const [, number] of text.matchAll(/: (-?[\d.]+e[-+]?\d+)$/gm)) expect(number).toContain('.');
  });

  it('goes on with the warm-up that is left, towards the same peak', () => {
    const early = plan({ learning_rate: '1e-3', warmup_steps: '8' }, { warmupSteps: 8, learningRate: 6.25e-4 });
    const values = parse(fileOf(axolotlHandoff(early), 'axolotl.yaml')) as Record<string, unknown>;
    expect(values).toMatchObject({ warmup_steps: 3, learning_rate: 1e-3, max_steps: 15 });
  });

  it('quotes texts that YAML 1.1 takes for something else', () => {
    const text = fileOf(trlHandoff(plan({}, { model: '/a: b/no', revision: '2024_01' })), 'trl.yaml');
    expect(parse(text, { version: '1.1' })).toMatchObject({
      model_name_or_path: '/a: b/no',
      model_revision: '2024_01',
    });
    const off = fileOf(axolotlHandoff(plan({}, { revision: 'off' })), 'axolotl.yaml');
    expect(parse(off, { version: '1.1' })).toMatchObject({ revision_of_model: 'off' });
  });

  it('keeps float32 where TRL would compute in bfloat16 by default', () => {
    expect(parse(fileOf(trlHandoff(plan({ dtype: 'float32' })), 'trl.yaml'))).toMatchObject({ bf16: false });
    expect(parse(fileOf(trlHandoff(plan()), 'trl.yaml'))).toMatchObject({ bf16: true });
  });

  it('keeps packed rows apart, or says that they are not', () => {
    const packed = plan({ packing: 'true' }, { hasTest: true });
    const conversations = [turns('a', 'b')];
    expect(parse(fileOf(llamaFactoryHandoff(packed, conversations, conversations), 'llamafactory.yaml'))).toMatchObject(
      {
        packing: true,
        neat_packing: true,
      },
    );
    const axolotl = axolotlHandoff(packed);
    expect(parse(fileOf(axolotl, 'axolotl.yaml'))).toMatchObject({ sample_packing: true, eval_sample_packing: false });
    expect(axolotl.leftOut.join()).toContain('Packed rows see each other in Axolotl unless flash_attention: true');
    expect(trlHandoff(packed).leftOut.join()).toContain('TRL packs rows of tokens without what is masked');
    expect(trlHandoff(plan()).leftOut).toHaveLength(1);
  });

  it('says in 4 bits what QLoRA is called there', () => {
    const qlora = plan({ load_in_4bit: 'true', optim: 'adamw_8bit' });
    expect(parse(fileOf(axolotlHandoff(qlora), 'axolotl.yaml'))).toMatchObject({
      adapter: 'qlora',
      load_in_4bit: true,
      optimizer: 'adamw_bnb_8bit',
      revision_of_model: 'abc',
    });
    expect(parse(fileOf(trlHandoff(qlora), 'trl.yaml'))).toMatchObject({
      load_in_4bit: true,
      bnb_4bit_quant_type: 'nf4',
      use_bnb_nested_quant: true,
      model_revision: 'abc',
    });
    expect(parse(fileOf(llamaFactoryHandoff(qlora, [turns('a', 'b')], []), 'llamafactory.yaml'))).toMatchObject({
      quantization_bit: 4,
      double_quantization: true,
      lora_target: 'q_proj,v_proj',
    });
  });
});

describe('LLaMA-Factory', () => {
  it('gets conversations under the names that its table of datasets gives them', () => {
    const handed = llamaFactoryHandoff(plan({}, { hasTest: true }), [turns('Who?', 'Me.')], [turns('Where?', 'Here.')]);
    const info = JSON.parse(fileOf(handed, 'data/dataset_info.json')) as Record<string, { file_name: string }>;
    expect(Object.keys(info)).toEqual(['graft_train', 'graft_test']);
    const rows = JSON.parse(fileOf(handed, `data/${info['graft_test']!.file_name}`)) as unknown;
    expect(rows).toEqual([
      {
        messages: [
          { role: 'user', content: 'Where?' },
          { role: 'assistant', content: 'Here.' },
        ],
      },
    ]);
    expect(parse(fileOf(handed, 'llamafactory.yaml'))).toMatchObject({
      dataset: 'graft_train',
      eval_dataset: 'graft_test',
    });
  });

  it.each([
    [{ ...turns('a', 'b'), messages: undefined }, 'Row 1 of faq.jsonl is no conversation'],
    [{ ...turns('a', 'b'), isTrainedWhole: false }, 'has an answer that is not trained'],
    [{ ...turns('a'), messages: [{ role: 'tool', content: '4' }] }, 'has a turn of tool'],
    [turns('a', 'b', 'c'), 'has turns other than question and answer in alternation, up to an answer'],
    [
      { ...turns(), messages: [...turns('a').messages!, ...turns('b', 'c').messages!] },
      'has turns other than question',
    ],
  ])('is handed no row that it would read otherwise', (row, message) => {
    expect(() => llamaFactoryHandoff(plan(), [row], [])).toThrow(message);
  });
});

describe('a run for LLaMA-Factory', () => {
  it('keeps the order of the file, and takes a system message first', () => {
    const messages = [{ role: 'system', content: 'Short.' }, ...turns('a', 'b').messages!];
    const handed = llamaFactoryHandoff(plan({ shuffle: 'false' }), [{ ...turns(), messages }], []);
    expect(parse(fileOf(handed, 'llamafactory.yaml'))).toMatchObject({ disable_shuffling: true });
    expect(JSON.parse(fileOf(handed, 'data/train.json'))).toEqual([{ messages }]);
  });

  it('is handed no run with a template or variables that it would not see', () => {
    const rows = [turns('a', 'b')];
    expect(() => llamaFactoryHandoff(plan({}, { hasOwnTemplate: true }), rows, [])).toThrow(
      "The run has a chat template of its own, which LLaMA-Factory can't be told",
    );
    expect(() => llamaFactoryHandoff(plan({ chat_template_kwargs: '{a: 1}' }), rows, [])).toThrow(
      'The run has chat_template_kwargs, which',
    );
    // The folder of a whole model holds its template.
    const whole = plan({ use_peft: 'false' }, { hasOwnTemplate: true });
    expect(llamaFactoryHandoff(whole, rows, []).commands).toEqual(['llamafactory-cli train llamafactory.yaml']);
  });
});

describe('what a trainer has not', () => {
  it.each([trlHandoff, axolotlHandoff, (given: HandoffPlan) => llamaFactoryHandoff(given, [turns('a', 'b')], [])])(
    'is said of stopping early, and of values that Graft rounds',
    (hand) => {
      const { leftOut } = hand(plan({ early_stopping_patience: '2', embedding_dtype: 'q8' }));
      expect(leftOut).toContain('It stops early for no loss: all steps are trained, and the last weights kept.');
      expect(leftOut.filter((sentence) => sentence.startsWith('embedding_dtype: q8 has no counterpart'))).toHaveLength(
        1,
      );
    },
  );

  it('is said of the chat template that belongs beside the adapter', () => {
    const sentence =
      'Copy adapter/chat_template.jinja beside the adapter that comes out: it was trained through that template.';
    expect(axolotlHandoff(plan({}, { hasOwnTemplate: true })).leftOut).toContain(sentence);
    expect(trlHandoff(plan({}, { hasOwnTemplate: true })).leftOut).toContain(sentence);
    expect(trlHandoff(plan()).leftOut).not.toContain(sentence);
  });

  it('is said of keys', () => {
    const { leftOut } = trlHandoff(plan({ layers_to_transform: '[0]', shuffle: 'false' }));
    expect(leftOut.slice(1)).toEqual([
      'TRL has no layers_to_transform, which this run sets.',
      'TRL shuffles the rows, which this run keeps in their order.',
    ]);
    expect(parse(fileOf(axolotlHandoff(plan({ layers_to_transform: '[0]' })), 'axolotl.yaml'))).toMatchObject({
      peft_layers_to_transform: [0],
    });
  });

  it('is not said of dropout to a prompt, which has none', () => {
    const nothingLeft = {
      epoch: 1,
      evaluateFirst: false,
      steps: [],
      moments: [],
      trainerState: {},
      padTokenId: 0,
      copies: [],
    };
    const { leftOut } = accelerateHandoff(plan({ peft_type: 'PROMPT_TUNING' }), nothingLeft);
    expect(leftOut.filter((sentence) => sentence.startsWith('Dropout'))).toEqual([]);
    const lora = accelerateHandoff(plan(), nothingLeft);
    expect(lora.leftOut.filter((sentence) => sentence.startsWith('Dropout'))).toHaveLength(1);
  });

  it('is refused where it would train something else', () => {
    expect(() => trlHandoff(plan({ peft_type: 'PROMPT_TUNING' }))).toThrow('TRL trains no PROMPT_TUNING');
    expect(() => axolotlHandoff(plan({ lora_alpha: '2.5' }))).toThrow('Axolotl takes whole numbers for lora_alpha');
  });
});
