/** The card beside an export: what it is, what was checked, and lines that serve it. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { exportCard, type ExportCard } from '../../../src/formats/export-card';
import { servedName, servingOfFolder, word } from '../../../src/formats/serving';
import { verificationFacts } from '../../../src/recipes/verification-facts';

const COMMIT = 'c0ffee'.repeat(7).slice(0, 40);
const base = { name: 'org/tiny', hub: { id: 'org/tiny', revision: COMMIT } };
const lora = { r: 24, alpha: 4, dropout: 0, targetModules: ['q_proj'], useRslora: false, useDora: false };
const answers = {
  ...{ logitError: 0.0046, tolerance: 0.1, largestDifference: 0.3141, meanDifference: 0.0123456, divergence: 1e-4 },
  ...{ agreement: 0.98, sameAnswers: 3, prompts: 4, adapterEffect: 0.3 },
};
const found = { findings: [], notices: [], weights: { name: 'model.norm.weight', error: 0.0056 }, answers };

const card = (change: Partial<ExportCard> = {}) =>
  exportCard({
    base,
    adapter: { lora },
    exported: { kind: 'gguf', file: 'fees.gguf', type: 'Q8_0' },
    checked: verificationFacts(found, "questions of the run's data"),
    notices: ['Layers see other windows.'],
    runYaml: 'seed: 42\n',
    ...change,
  });

describe('the card of an export', () => {
  it('names no tensor where no weight differs', () => {
    expect(verificationFacts({ ...found, weights: { error: 0, name: '' } })['Weights']).toBe('all the same');
  });

  it('says what was compared, on what, how far it is off, and that it passed', () => {
    const text = card();
    expect(parse(/^---\n([\s\S]*?)---/.exec(text)![1]!)).toEqual({
      ...{ base_model: 'org/tiny', base_model_relation: 'finetune', library_name: 'gguf' },
      ...{ pipeline_tag: 'text-generation', tags: ['gguf', 'graft'] },
    });
    expect(/## Checked\n\n.*\n\n\| \| \|\n\|---\|---\|\n([\s\S]*?)\n\n##/.exec(text)![1]!.split('\n')).toEqual([
      '| Compared | every weight, how texts are read, the chat template, logits, greedy answers |',
      '| Weights | 0.56 % off at most (model.norm.weight) |',
      "| Prompts | 4, questions of the run's data |",
      '| Logits | largest difference 0.31, mean 0.012 |',
      '| Size of the difference | 0.46 % of the logits; stored so, 10 % are allowed |',
      '| Likeliest token the same | after 98 % of the tokens |',
      '| Greedy answers the same | 3 of 4 |',
      '| What the adapter changes | with and without it, logits are 30 % apart |',
      '| Result | passed |',
    ]);
    expect(text).toContain('- Layers see other windows.');
    expect(text).toContain('```yaml\nseed: 42\n```');
  });

  it('says that it failed, and by what', () => {
    const checked = verificationFacts({ ...found, findings: ['rope is another in the file than in the model.'] });
    expect(card({ checked })).toContain('| Result | failed: rope is another in the file than in the model. |');
  });

  it.each([
    [{ kind: 'merged', folder: 'My fees' }, /vllm serve 'My fees' --served-model-name my-fees --port 8000\n/],
    [{ kind: 'merged', folder: 'My fees' }, /AutoModelForCausalLM\.from_pretrained\("My fees"\)/],
    [{ kind: 'gguf', file: 'fees.gguf', type: 'F16' }, /llama-server --model fees\.gguf --port 8080\n/],
    [{ kind: 'gguf-lora', file: 'a.gguf', type: 'F16' }, /--model path\/to\/the\/base\/model\.gguf --lora a\.gguf/],
    [{ kind: 'ollama', folder: 'fees', type: 'F16' }, /ollama create fees -f fees\/Modelfile\nollama run fees\n/],
    [{ kind: 'ollama', folder: 'fees', type: 'F16' }, /npx graft serve fees\n/],
  ] as const)('serves what it stands beside (%j)', (exported, lines) => {
    expect(card({ exported })).toMatch(lines);
  });

  it('has the server ask as Graft does', () => {
    const serverOptions = ['--chat-template-kwargs', '{"enable_thinking":false}'];
    expect(card({ serverOptions })).toContain(
      `llama-server --model fees.gguf --chat-template-kwargs '{"enable_thinking":false}' --port 8080\n`,
    );
  });
});

describe('lines that serve a folder', () => {
  const textOf = (title: string, ...args: Parameters<typeof servingOfFolder>) =>
    servingOfFolder(...args).find((lines) => lines.title === title)?.text;

  it('have vLLM apply an adapter beside its base, with room for its rank', () => {
    expect(textOf('vLLM', base, { lora }, 'runs/Fees 1')).toBe(
      `vllm serve org/tiny --revision ${COMMIT} --enable-lora --max-lora-rank 32 --lora-modules 'fees-1=runs/Fees 1'`,
    );
  });

  it('merge first what vLLM has no way to apply', () => {
    expect(textOf('vLLM', { name: 'starter' }, { lora: { ...lora, useDora: true } }, 'fees')).toBe(
      'npx graft export --model starter --adapter fees --output fees-merged\n' +
        'vllm serve fees-merged --served-model-name fees --port 8000',
    );
  });

  it('export for the others', () => {
    expect(textOf('llama.cpp', { name: 'mine' }, {}, 'fees')).toBe(
      'npx graft export --model fees --format gguf --type Q8_0 --output fees-Q8_0.gguf\n' +
        'llama-server --model fees-Q8_0.gguf --port 8080',
    );
    expect(textOf('Ollama', base, { lora }, 'fees')).toMatch(
      /--format ollama --type Q8_0 --output fees-ollama\nollama create fees -f/,
    );
  });

  it('are none for a prompt, which no one of them serves', () => {
    expect(servingOfFolder(base, { prompt: { numVirtualTokens: 4 } }, 'fees')).toEqual([]);
  });

  it('are words of a shell, whatever a run is called', () => {
    expect(word("it's $(rm)")).toBe(`'it'\\''s $(rm)'`);
    expect(['/a/Über Gebühren!/', '日本', 'a.b-c_d'].map(servedName)).toEqual(['ber-geb-hren', 'model', 'a.b-c_d']);
  });
});
