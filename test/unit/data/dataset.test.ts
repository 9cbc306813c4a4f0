import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import { parseDataset } from '../../../src/data/dataset';
import { jsonErrorOffset } from '../../../src/core/json-error';
import { hasReference, reference } from '../../support/reference';

const jsonl = (...rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join('\n');
const refusal = (content: string | Uint8Array, name = 'data.jsonl'): string => {
  try {
    parseDataset(name, content);
  } catch (error) {
    expect(errorCode(error)).toBe('bad-data');
    return (error as Error).message;
  }
  throw new Error('accepted');
};
const turns = (user: string, assistant: string) => [
  { role: 'user', content: user },
  { role: 'assistant', content: assistant },
];
const messagesOf = (content: string) =>
  parseDataset('data.json', content).examples.map((example) =>
    example.kind === 'conversation' ? example.conversation.messages : undefined,
  );

describe('formats', () => {
  it.each([
    ['alpaca', { instruction: 'Say', input: 'x', output: 'y', rejected: 'z' }, turns('Say\nx', 'y')],
    ['alpaca', { instruction: 'Say', input: '', output: 'y' }, turns('Say', 'y')],
    ['alpaca', { instruction: 'Say', input: null, output: 'y' }, turns('Say', 'y')],
    ['question-answer', { question: 'q', answer: 'a', source_text: 's' }, turns('q', 'a')],
    ['prompt-completion', { prompt: 'p', completion: ' c' }, turns('p', ' c')],
    [
      'prompt-completion',
      { prompt: turns('p', 'c').slice(0, 1), completion: turns('p', 'c').slice(1) },
      turns('p', 'c'),
    ],
    ['messages', { messages: turns('u', 'a') }, turns('u', 'a')],
    [
      'messages',
      {
        conversations: [
          { from: 'human', value: 'u' },
          { from: 'gpt', value: 'a' },
        ],
      },
      turns('u', 'a'),
    ],
  ])('reads %s from %j', (format, row, messages) => {
    const dataset = parseDataset('data.json', JSON.stringify([row]));
    expect(dataset.format).toBe(format);
    expect(dataset.examples).toEqual([
      { kind: 'conversation', row: 1, where: 'data.json, row 1', conversation: { messages }, untrained: [] },
    ]);
  });

  it('reads pre-tokenised rows as they stand; without labels all is trained', () => {
    const rows = [{ input_ids: [1, 2], labels: [-100, 2] }, { input_ids: [3, 4] }];
    const { examples, format } = parseDataset('d.jsonl', jsonl(...rows));
    expect(format).toBe('tokens');
    expect(examples[0]).toMatchObject({ inputIds: [1, 2], labels: [-100, 2] });
    expect(examples[1]).toMatchObject({ inputIds: [3, 4], labels: [3, 4] });
  });

  it('reads bytes with a BOM, CRLF, blank lines, and JSONL that is called .json', () => {
    const text = `\uFEFF${JSON.stringify({ question: 'ü', answer: 'a' })}\r\n\r\n${JSON.stringify({ question: 'b', answer: 'c' })}\r\n`;
    const { examples } = parseDataset('data.json', new TextEncoder().encode(text));
    expect(examples.map(({ row, where }) => [row, where])).toEqual([
      [1, 'data.json, line 1'],
      [3, 'data.json, line 3'],
    ]);
    expect(messagesOf(text.slice(1))[0]).toEqual(turns('ü', 'a'));
  });
});

describe('refusals name the place', () => {
  const good = { question: 'q', answer: 'a' };
  it.each([
    [jsonl(good) + '\n\n{"question": "q", answer', /data\.jsonl, line 3: not valid JSON/],
    ['[\n{"question": "q",\n "answer": oops}]', /data\.jsonl, line 3: not valid JSON, unexpected "oops}\]"/],
    ['[\n{"question": "q", "answer": "a"}', /line 2: not valid JSON, the file ends too early/],
    [jsonl(good, 5), /line 2: a row must be an object.*but is 5/],
    ['[]', /has no rows/],
    ['', /has no rows/],
    [jsonl(good, { question: 'q' }), /line 2 has no response: answer is missing/],
    [jsonl(good, { question: 'q', answer: ' \n' }), /line 2 has no response: answer is empty/],
    [jsonl(good, { question: 'q', answer: 7 }), /line 2: answer must be text, but is 7/],
    [jsonl({ question: '', answer: 'a' }), /line 1: question is empty/],
    [jsonl({ instruction: 'i' }), /no response: output is missing/],
    [jsonl({ prompt: 'p', chosen: 'c', rejected: 'r' }), /preference pair/],
    [
      jsonl(good, { instruction: 'i', output: 'o' }),
      /line 2 is of the format alpaca, but the rows before it are question-answer/,
    ],
    [jsonl({ text: 'x' }), /has "text"; expected instruction\/output/],
    [jsonl({}), /has no field/],
    [jsonl({ messages: [] }), /messages must be a list/],
    [jsonl({ messages: [{ role: 'user', content: 'u' }] }), /has no response: no message is the assistant's/],
    [jsonl({ messages: turns('u', '') }), /has no response: message 2 .* is empty/],
    [jsonl({ messages: [{ role: 'wizard', content: 'u' }] }), /message 1 has the role "wizard"/],
    [jsonl({ messages: [{ role: 'user', content: [{ type: 'image' }] }] }), /content of message 1 must be text/],
    [jsonl({ messages: [null] }), /message 1 has the role undefined/],
    [jsonl({ input_ids: [1, 2], labels: [1] }), /2 input_ids, but 1 labels/],
    [jsonl({ input_ids: [1, -5] }), /position 2 holds a negative id/],
    [jsonl({ input_ids: [1.5] }), /list of token ids/],
    [jsonl({ input_ids: [1, 2], labels: [1, -100] }), /nothing to train on/],
  ])('%j', (content, message) => {
    expect(refusal(content)).toMatch(message);
  });

  it('of a file of another kind', () => {
    expect(refusal('a,b\n1,2', 'data.csv')).toMatch(/data\.csv is not JSON: convert it/);
    expect(refusal(Uint8Array.of(0x7b, 0xff, 0xfe))).toMatch(/not UTF-8/);
  });
});

describe('hostile rows', () => {
  it('can not reach or borrow from a prototype', () => {
    expect(refusal('{"__proto__": {"question": "q", "answer": "a"}}')).toMatch(/has "__proto__"/);
    expect(refusal('{"question": "q", "__proto__": {"answer": "a"}}')).toMatch(/answer is missing/);
    expect(refusal('{"messages": [{"__proto__": {"role": "user", "content": "u"}}]}')).toMatch(/role undefined/);
    expect(({} as { question?: string }).question).toBeUndefined();
  });

  it('give a dataset or a bad-data error, whatever the text', () => {
    const rows = fc.oneof(
      fc.string(),
      fc.json(),
      fc.array(fc.json()).map((list) => `[${list.join()}]`),
    );
    fc.assert(
      fc.property(rows, (text) => {
        try {
          expect(parseDataset('d.json', text).examples.length).toBeGreaterThan(0);
        } catch (error) {
          expect(errorCode(error)).toBe('bad-data');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('jsonErrorOffset', () => {
  it('finds no error exactly where JSON.parse finds none', () => {
    const broken = fc
      .tuple(fc.json(), fc.nat(), fc.constantFrom('', ',', '}', ']', '"', ':', 'x', '0', '\\'))
      .map(([text, at, extra]) => {
        const cut = at % (text.length + 1);
        return text.slice(0, cut) + extra + text.slice(cut + (at % 2));
      });
    fc.assert(
      fc.property(broken, (text) => {
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        const offset = jsonErrorOffset(text);
        if (valid) expect(offset).toBe(text.length);
        // Up to the error some continuation makes the text valid, so the error itself lies at or after the offset's start.
        else expect(offset).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['{"a":1,}', 7],
    ['[1 2]', 3],
    ['[1,]', 3],
    ['{"a" 1}', 5],
    ['[1]]', 3],
    ['{1:2}', 1],
    ['[tru]', 1],
    ['["a\nb"]', 1],
    ['{"a":[1,2', 9],
  ])('%j breaks at %i', (text, offset) => {
    expect(jsonErrorOffset(text)).toBe(offset);
  });
});

describe.skipIf(!hasReference)('files of the reference', () => {
  it.each([
    ['linz_title_fees.jsonl', 'question-answer', 63],
    ['alpaca_en_demo.json', 'alpaca', undefined],
    ['identity.json', 'alpaca', undefined],
    ['gsm8k_test.jsonl', 'question-answer', 1319],
    ['rasbt_instruction.json', 'alpaca', undefined],
  ])('%s is %s', (file, format, rows) => {
    const dataset = parseDataset(file, new Uint8Array(readFileSync(reference('datasets', file))));
    expect(dataset.format).toBe(format);
    if (rows !== undefined) expect(dataset.examples).toHaveLength(rows);
  });
});
