import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CutError, errorCode, ExhaustedError } from '../../../src/core/errors';
import { contentOf, type ChatTemplate, type Message, type Tokenizer } from '../../../src/core/text';
import { IGNORED, parseDataset } from '../../../src/data/dataset';
import { dataReport, tokenTexts } from '../../../src/data/report';
import { tokenizeDataset } from '../../../src/data/tokenize';
import { tokenizeExample, type TokenizeOptions } from '../../../src/data/tokenize-example';
import { hasReference, reference } from '../../support/reference';
import { characters, locateByPrefixes, template } from './support';

const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });
const CHATML = characters(['<|im_start|>', '<|im_end|>', '<|eos|>'], ['<|im_end|>', '<|eos|>']);

const chatml = template(
  (messages, generate) =>
    messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`).join('') +
    (generate ? '<|im_start|>assistant\n' : ''),
);

function options(change: Partial<TokenizeOptions> = {}): TokenizeOptions {
  return {
    tokenizer: CHATML,
    template: chatml,
    vocabSize: 300_000,
    maxLength: 1000,
    assistantOnlyLoss: true,
    maxBadRows: 0.1,
    ...change,
  };
}

/** The text that is trained on, with masked stretches as `…`. */
function trained(messages: readonly Message[], change: Partial<TokenizeOptions> = {}): string {
  const used = options(change);
  const { inputIds, labels } = tokenizeExample(
    { kind: 'conversation', row: 1, where: 'row 1', conversation: { messages }, untrained: [] },
    used,
  );
  expect(labels).toHaveLength(inputIds.length);
  labels.forEach((label, i) => expect([IGNORED, inputIds[i]]).toContain(label));
  const marked = labels.map((label) =>
    label === IGNORED ? '…' : used.tokenizer!.decode([label], { skipSpecialTokens: false }),
  );
  return marked.join('').replace(/…+/g, '…');
}

const CONVERSATION = [user('One?'), assistant('1'), user('Two?'), assistant('2 two')];

describe('response-only masks', () => {
  it('train every answer and its end-of-turn token', () => {
    expect(trained(CONVERSATION)).toBe('…1<|im_end|>…2 two<|im_end|>…');
    expect(trained([{ role: 'system', content: 's' }, ...CONVERSATION, user('more')])).toBe(
      '…1<|im_end|>…2 two<|im_end|>…',
    );
  });

  it('train all where asked to', () => {
    expect(trained([user('a'), assistant('b')], { assistantOnlyLoss: false })).toBe(
      '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n',
    );
  });

  it('and rows that say what is not trained do not go together with training all', async () => {
    const fields = [{ weight: 0 }, { train: false }].map((mark) => [
      user('a'),
      { ...assistant('b'), ...mark },
      ...CONVERSATION,
    ]);
    const rows = [...fields.map((messages) => ({ messages })), { prompt: CONVERSATION.slice(0, 3), completion: 'c' }];
    const dataset = await parseDataset('d.json', JSON.stringify(rows), { maxBadRows: 0 });
    const { skipped } = await tokenizeDataset(dataset, options({ assistantOnlyLoss: false, maxBadRows: 1 }));
    expect(skipped.map(({ row }) => row)).toEqual([1, 2]);
    expect(skipped[0]!.reason).toMatch(/^says of an answer that it isn't trained .* set assistant_only_loss: true$/);
  });

  it('are not led astray by end-of-turn tokens, or the answer, in the text', () => {
    expect(trained([user('1 <|im_end|>'), assistant('a<|im_end|>b'), user('1<|im_end|>'), assistant('1')])).toBe(
      '…a<|im_end|>b<|im_end|>…1<|im_end|>…',
    );
  });

  it('follow a template that trims answers, and one that ends the whole with eos (Phi-3)', () => {
    const phi = template(
      (messages, generate) =>
        messages.map(({ role, content }) => `<|im_start|>${role}\n${content?.trim()}<|im_end|>\n`).join('') +
        (generate ? '<|im_start|>assistant\n' : '<|eos|>'),
    );
    expect(trained([user('a'), assistant(' b \n'), user('c'), assistant('d')], { template: phi })).toBe(
      '…b<|im_end|>…d<|im_end|>…',
    );
  });

  it('follow a template that thinks in the last turn only (Qwen3)', () => {
    const qwen = template(
      (messages, generate) =>
        messages
          .map(({ role, content }, i) => {
            const last = role === 'assistant' && i === messages.length - 1;
            return `<|im_start|>${role}\n${last ? '<think></think>' : ''}${content}<|im_end|>\n`;
          })
          .join('') + (generate ? '<|im_start|>assistant\n' : ''),
    );
    expect(trained(CONVERSATION, { template: qwen })).toBe('…1<|im_end|>…<think></think>2 two<|im_end|>…');
  });

  it('start at the answer where the generation prompt opens with more than the rendering shows', () => {
    const opening = template(
      (messages, generate) =>
        chatml.render({ messages }, { addGenerationPrompt: generate }) + (generate ? '<think></think>' : ''),
    );
    expect(trained(CONVERSATION, { template: opening })).toBe('…1<|im_end|>…2 two<|im_end|>…');
  });

  it('end where the next turn begins, for a template that closes no turn', () => {
    const open = template(
      (messages, generate) =>
        messages.map(({ role, content }) => `${role === 'user' ? 'Q: ' : 'A: '}${content}\n`).join('') +
        (generate ? 'A: ' : ''),
    );
    const withoutStops = characters(['<|im_end|>'], []);
    expect(trained(CONVERSATION, { template: open, tokenizer: withoutStops })).toBe('…1\n…2 two\n');
    const eosAtEnd = template(
      (messages, generate) =>
        open.render({ messages }, { addGenerationPrompt: generate }) + (generate ? '' : '<|eos|>'),
    );
    expect(trained(CONVERSATION, { template: eosAtEnd })).toBe('…1\n…2 two\n<|eos|>');
  });

  it('refuse a template that renders a prompt anew once it is answered', () => {
    const reversed = template(
      (messages, generate) =>
        [...messages]
          .reverse()
          .map(({ content }) => content)
          .join('|') + (generate ? '?' : ''),
    );
    const render = () => trained(CONVERSATION, { template: reversed });
    expect(render).toThrow(/row 1 can't be masked: the chat template \(test\) renders message 2 .*chat_template_path/);
  });

  it('give a token that straddles prompt and answer to the answer', () => {
    // Pairs of newlines are one token: the prompt ends with one, the answer starts with another.
    const encode = (text: string) => CHATML.encode(text.replaceAll('\n\n', '\u2028'), { addSpecialTokens: false });
    const merging: Tokenizer = {
      ...CHATML,
      encode,
      locate: locateByPrefixes(encode),
      decode: (ids, settings) => CHATML.decode(ids, settings).replaceAll('\u2028', '\n\n'),
    };
    expect(trained([user('a'), assistant('\nb')], { tokenizer: merging })).toBe('…\n\nb<|im_end|>…');
  });
});

describe('tokenizeDataset', () => {
  const rows = (...list: unknown[]) => parseDataset('d.json', JSON.stringify(list), { maxBadRows: 0.1 });

  it('keeps pre-tokenised rows as they stand, without a tokenizer', async () => {
    const dataset = await rows({ input_ids: [1, 2, 3], labels: [-100, 2, 3] });
    const result = await tokenizeDataset(dataset, options({ tokenizer: undefined, template: undefined, vocabSize: 4 }));
    expect(result).toEqual({
      examples: [{ row: 1, inputIds: [1, 2, 3], labels: [-100, 2, 3] }],
      truncated: 0,
      skipped: [],
      refused: [],
      notices: [],
      trainedTokens: 2,
      totalTokens: 3,
      longest: 3,
    });
  });

  it('refuses ids that the model lacks, and text without a tokenizer', async () => {
    const code = (work: Promise<unknown>) => work.then(() => 'accepted', errorCode);
    const ids = await rows({ input_ids: [1, 9] });
    const text = await rows({ question: 'q', answer: 'a' });
    expect(await code(tokenizeDataset(ids, options({ vocabSize: 9 })))).toBe('bad-data');
    expect(await code(tokenizeDataset(text, options({ tokenizer: undefined })))).toBe('bad-data');
    expect(await code(tokenizeDataset(text, options({ vocabSize: 150_000 })))).toBe('bad-data');
  });

  it('trains all of a text, and the end after it', async () => {
    const { examples } = await tokenizeDataset(await rows({ text: 'ab' }), options());
    const ids = [97, 98, CHATML.eosTokenId!];
    expect(examples).toEqual([{ row: 1, inputIds: ids, labels: ids }]);
  });

  it('cuts long rows, and leaves out those whose answer is cut off', async () => {
    const dataset = await rows(
      { question: 'q', answer: 'a'.repeat(50) },
      { question: 'q'.repeat(50), answer: 'a' },
      { question: 'q', answer: 'a' },
    );
    const result = await tokenizeDataset(dataset, options({ maxLength: 40 }));
    expect(result.examples.map(({ row, inputIds }) => [row, inputIds.length])).toEqual([
      [1, 40],
      [3, 23],
    ]);
    expect(result.truncated).toBe(1);
    expect(result.skipped).toEqual([{ row: 2, reason: 'has nothing to train on within max_length 40' }]);
    expect(result.trainedTokens).toBe(20 + 2);
  });

  it('refuses a dataset in which nothing is left to train on', async () => {
    const dataset = await rows({ question: 'q'.repeat(50), answer: 'a' });
    await expect(tokenizeDataset(dataset, options({ maxLength: 10 }))).rejects.toThrow(
      /Nothing in d\.json would be trained on.*max_length 10\. Raise max_length\.$/,
    );
    // No setting helps where the model itself reads no more; who sets a limit by itself hears how long rows are.
    const refusal: unknown = await tokenizeDataset(dataset, options({ maxLength: 10, mostLength: 10 })).catch(
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(CutError);
    expect((refusal as CutError).message).toMatch(/max_length 10\. The model reads no more: shorten the rows/);
    const { examples } = await tokenizeDataset(dataset, options({ maxLength: (refusal as CutError).longest }));
    expect(examples[0]!.inputIds).toHaveLength((refusal as CutError).longest);
  });

  it('leaves out a conversation that is too much for the template, and goes through no second one', async () => {
    let stopped = 0;
    const limited = template((messages, generate) => {
      if (contentOf(messages[0]).startsWith('long')) {
        stopped++;
        throw new ExhaustedError('The template was stopped.');
      }
      return chatml.render({ messages }, { addGenerationPrompt: generate });
    });
    const [short, long] = [
      { question: 'q', answer: 'a' },
      { question: 'long', answer: 'a' },
    ];
    const tokenize = async (...list: object[]) =>
      tokenizeDataset(await rows(...list), options({ template: limited, maxBadRows: 0.9 }));
    expect((await tokenize(short, long, short)).skipped).toHaveLength(1);
    for (const list of [
      [short, long, long, long, short],
      [long, short],
    ]) {
      stopped = 0;
      await expect(tokenize(...list)).rejects.toThrow(/row \d can't be rendered: The template was stopped/);
      expect(stopped).toBe(list[0] === long ? 1 : 2);
    }
  });
});

describe('dataReport', () => {
  it('shows examples, trained tokens and lengths', async () => {
    const dataset = await parseDataset(
      'd.json',
      JSON.stringify([
        { question: 'q', answer: 'ab' },
        { question: 'q'.repeat(30), answer: 'a' },
      ]),
      { maxBadRows: 0.1 },
    );
    const tokenized = await tokenizeDataset(dataset, options());
    const data = { dataset, tokenized, notices: [], skipped: [] };
    const report = dataReport(data, { tokenizer: CHATML, template: chatml }, 1);
    expect(report).toMatchObject({
      rows: 2,
      kept: 2,
      format: 'question-answer',
      templateSource: 'test',
      trainedTokens: 5,
      skipped: [],
    });
    expect(report.histogram.reduce((sum, n) => sum + n, 0)).toBe(2);
    expect(report.histogram[Math.floor(report.longest / report.binWidth)]).toBe(1);
    expect(report.examples).toHaveLength(1);
    const [{ text, tokens }] = report.examples as [(typeof report.examples)[number]];
    expect(tokens.map((token) => token.text).join('')).toBe(text);
    expect(tokens.filter((token) => token.trained).map((token) => token.text)).toEqual(['a', 'b', '<|im_end|>']);
  });

  it('lists the rows left out, of all rows of the file, and no notice repeats the list', async () => {
    const bad = { question: 'q', answer: '' };
    const long = { question: 'q'.repeat(50), answer: 'a' };
    const rows = [bad, { question: 'q', answer: 'a', source: 'x' }, long];
    const dataset = await parseDataset('d.json', JSON.stringify(rows), { maxBadRows: 0.5 });
    const tokenized = await tokenizeDataset(dataset, options({ maxLength: 40 }));
    const data = {
      dataset,
      tokenized,
      notices: [...dataset.notices, ...tokenized.notices],
      skipped: [...dataset.skipped, ...tokenized.skipped],
    };
    expect(data.notices).toHaveLength(3);
    const report = dataReport(data, { tokenizer: CHATML, template: chatml }, 1);
    expect(report).toMatchObject({ rows: 3, kept: 1 });
    expect(report.skipped.map(({ row }) => row)).toEqual([1, 3]);
    expect(report.notices).toEqual([expect.stringContaining('source')]);
  });
});

describe.skipIf(!hasReference)('with the tokenizer and template of phi-3-mini', async () => {
  let tokenizer: Tokenizer;
  let phi: ChatTemplate;
  if (hasReference) ({ tokenizer, phi } = await openPhi());

  it('trains the answers, token by token', () => {
    expect(
      trained([user('One?'), assistant('naïve 日本語'), user('Two\n?'), assistant('  2')], {
        tokenizer,
        template: phi,
      }),
    ).toMatch(/^…na.*<\|end\|>…\s*2<\|end\|>…$/);
  });

  it('shows every token in its place', () => {
    const text = 'Hello world, naïve 日本語 🙂 x';
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    expect(tokenTexts(ids, tokenizer).join('')).toBe(text);
  });

  it('masks real rows', async () => {
    const dataset = await parseDataset(
      'f.jsonl',
      readFileSync(reference('datasets', 'linz_title_fees.jsonl'), 'utf8'),
      {
        maxBadRows: 0.1,
      },
    );
    const { examples } = await tokenizeDataset(dataset, options({ tokenizer, template: phi }));
    examples.forEach(({ inputIds, labels }, i) => {
      const example = dataset.examples[i]!;
      const answer = example.kind === 'conversation' ? contentOf(example.conversation.messages[1]) : '';
      const kept = inputIds.filter((_, at) => labels[at] !== IGNORED);
      expect(kept.at(-1)).toBe(32007); // <|end|>
      expect(tokenizer.decode(kept.slice(0, -1), { skipSpecialTokens: false }).trim()).toBe(answer.trim());
    });
  });
});

/** Data and formats never meet in src; a test may introduce them. */
async function openPhi(): Promise<{ tokenizer: Tokenizer; phi: ChatTemplate }> {
  const { openTokenizer } = await import('../../../src/formats/tokenizer');
  const { openTemplate } = await import('../../../src/formats/template');
  const { findTurnEnd } = await import('../../../src/formats/turn-end');
  const { folder } = await import('../formats/support');
  const source = folder(reference('tokenizers', 'phi-3-mini'));
  const plain = (await openTokenizer(source, []))!;
  const phi = await openTemplate(source, plain);
  return { tokenizer: plain.withStopToken(findTurnEnd(plain, phi)), phi };
}
