/** Tables (CSV, TSV) and questions written as text, as people really have them. */
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import { parseDataset } from '../../../src/data/dataset';
import type { ColumnMapping } from '../../../src/data/reading/mapping';
import { readRows } from '../../../src/data/rows';

const read = (text: string, name = 'faq.csv', mapping?: ColumnMapping) => readRows(name, text, { mapping });
/** Each row as its line and its values, in the order of its columns. */
const values = async (text: string, name?: string, mapping?: ColumnMapping) =>
  (await read(text, name, mapping)).rows.map(({ row, line = row, value }) => [line, ...Object.values(value)]);
const parse = (text: string, name = 'faq.csv', mapping?: ColumnMapping) =>
  parseDataset(name, text, { maxBadRows: 0.5, mapping });
/** Question and answer of every example. */
const pairs = async (text: string, name?: string, mapping?: ColumnMapping) =>
  (await parse(text, name, mapping)).examples.map((example) =>
    example.kind === 'conversation' ? example.conversation.messages.map(({ content }) => content) : [],
  );
const refusal = async (promise: Promise<unknown>): Promise<[string, string]> => {
  try {
    await promise;
  } catch (error) {
    return [errorCode(error)!, (error as Error).message];
  }
  throw new Error('accepted');
};

describe('a table', () => {
  it.each([
    ['commas', 'question,answer\nWho?,Me\nWhy?,Because\n', 'faq.csv'],
    ['tabs', 'question\tanswer\nWho?\tMe\nWhy?\tBecause', 'faq.tsv'],
    ['semicolons', 'Question;Answer\r\nWho?;Me\r\nWhy?;Because\r\n', 'faq.csv'],
    ['bars', 'question|answer\nWho?|Me\nWhy?|Because', 'faq.txt'],
    ['lone carriage returns', 'question,answer\rWho?,Me\rWhy?,Because\r', 'faq.csv'],
    ['quotes all over, and a byte order mark', '\ufeff"Question","Answer"\n"Who?","Me"\n"Why?","Because"\n', 'x'],
    ['white space around names', ' question , answer \nWho?,Me\nWhy?,Because\n', 'faq.csv'],
    ['blank lines and rows of separators', 'question,answer\n\nWho?,Me\n,\nWhy?,Because\n,,\n\n', 'faq.csv'],
    ['Markdown', '| Question | Answer |\n| --- | :-: |\n| Who? | Me |\n| Why? | Because |\n', 'faq.md'],
    ['a separator at the end of each line', 'question,answer,\nWho?,Me,\nWhy?,Because,\n', 'faq.csv'],
  ])('of %s', async (_, text, name) => {
    expect(await pairs(text, name)).toEqual([
      ['Who?', 'Me'],
      ['Why?', 'Because'],
    ]);
  });

  it('may have separators, quotes and line breaks within quotes, and lines of a spreadsheet end otherwise than its cells', async () => {
    const text = 'question,answer\r\n"What, and ""why""?","One\nTwo"\r\n"Next?",Three\r\n';
    expect(await values(text)).toEqual([
      [2, 'What, and "why"?', 'One\nTwo'],
      [4, 'Next?', 'Three'],
    ]);
  });

  it.each(['text\nFirst.\n"Second, with\na comma."\n', '"text"\n"First."\n"Second, with\na comma."\n'])(
    'may have one column alone, where its name says that it is one: %j',
    async (text) => {
      expect(await values(text)).toEqual([
        [2, 'First.'],
        [3, 'Second, with\na comma.'],
      ]);
      expect((await parse(text)).format).toBe('text');
    },
  );

  it('has tabs between its cells where its name says so', async () => {
    expect(await values('text\nHello, dear reader.\nWelcome to us, friend.\n', 'a.tsv')).toEqual([
      [2, 'Hello, dear reader.'],
      [3, 'Welcome to us, friend.'],
    ]);
    expect(await values('question\tanswer, long\nWho?\tMe, I say.\n', 'a.tsv')).toEqual([[2, 'Who?', 'Me, I say.']]);
    expect(await pairs('question,answer\nWho?,Me\n', 'a.tsv')).toEqual([['Who?', 'Me']]); // whatever its name says
  });

  it('of one column with another name is refused as such, and mapped', async () => {
    const text = 'review\nGood.\nBad, mostly.\n';
    expect(await refusal(parse(text))).toEqual([
      'bad-data',
      'faq.csv is a table with the one column review, and no format of a dataset has it alone: write text in its place, ' +
        'or in a line above it where it is a row itself, or say that it is that (dataset_mapping: {text: "review"}).',
    ]);
    const { examples, skipped } = await parse(text, 'faq.csv', { text: 'review' });
    expect(examples).toMatchObject([{ kind: 'text', text: 'Good.' }]);
    expect(skipped).toMatchObject([
      { row: 2, line: 3, reason: expect.stringContaining('has 2 cells, and the table 1 column:') },
    ]);
    // Questions and answers are what they are, whatever the file is called.
    expect(await pairs('Q: Who?\nA: Me\nQ: Why?\nA: Because\n')).toHaveLength(2);
  });

  it('may have an answer that is JSON, whose lines are no rows of their own', async () => {
    expect(await pairs('question,answer\nAs JSON?,"\n{""a"": 1}\n"\n')).toEqual([['As JSON?', '\n{"a": 1}\n']]);
  });

  it("counts the rows below its names, and says on which lines those begin that can't be used", async () => {
    const { examples, skipped } = await parse('question,answer\n"a\nb",c\nHow,much,is it?\n"d",\ne,f\ng,h\n');
    expect(examples.map(({ where }) => where)).toEqual(['faq.csv, line 2', 'faq.csv, line 6', 'faq.csv, line 7']);
    expect(skipped).toEqual([
      {
        row: 2,
        line: 4,
        reason: 'has 3 cells, and the table 2 columns: put a cell with the separator in it in quotes',
      },
      { row: 3, line: 5, reason: expect.stringMatching(/^has an empty answer/) },
    ]);
    expect(await refusal(parse('question,answer\n,a\n'))).toEqual([
      'bad-data',
      "faq.csv: its only row can't be used: row 1 (line 2) has an empty question.",
    ]);
  });

  it('names the columns that are left out', async () => {
    const { notices } = await parse('id,question,answer\n1,a,b\n2,c,d\n');
    expect(notices).toEqual(['id is left out: no format of a dataset uses it.']);
  });

  it('names a column without a name by its place', async () => {
    const { notices } = await parse(',question,answer\n0,a,b\n1,c,d\n');
    expect(notices).toEqual(['"column 1" is left out: no format of a dataset uses it.']);
  });

  it("can't reach a prototype by the name of a column", async () => {
    const { rows } = await read('question,answer,__proto__\na,b,c\n');
    expect(Object.keys(rows[0]!.value)).toEqual(['question', 'answer', '__proto__']);
    expect(Object.getPrototypeOf(rows[0]!.value)).toBe(Object.prototype);
  });

  it.each([
    ['question,answer\na,b\n"c,d\ne,f\n', /^faq\.csv has a quote in the row of line 3 that is never closed/],
    ['question,answer,answer\na,b,c\n', /^faq\.csv has two columns named "answer"/],
    [
      'Frage,Antwort\na,b\n',
      /^faq\.csv is a table with the columns Frage and Antwort, .*\{question: "Frage", answer: "Antwort"\}/,
    ],
    ['What is it?,A graft.\nWhy?,Because.\n', /^faq\.csv is a table with the columns "What is it\?" and "A graft\."/],
  ])('is refused as a whole: %j', async (text, message) => {
    const [code, said] = await refusal(parse(text));
    expect(code).toBe('bad-data');
    expect(said).toMatch(message);
  });

  it.each(['Dear all,\nwe met, and then, at last, we left.\n', 'Once, twice\nand more\nthan that, or less, I say\n'])(
    'is not what prose with commas is: %j',
    async (text) => {
      expect((await refusal(parse(text, 'notes.txt')))[1]).toMatch(/^notes\.txt is text, but neither JSON nor a table/);
    },
  );

  it('is not JSON Lines whose first line is broken', async () => {
    const rows = '{"question": "a", "answer": "b"}\n'.repeat(3);
    expect((await parse(`question, answer\n${rows}`, 'rows.jsonl')).skipped).toHaveLength(1);
  });
});

describe('a mapping of columns', () => {
  it('says which column is which', async () => {
    expect(await pairs('Nr,Frage,Antwort\n1,a,b\n', 'faq.csv', { question: 'Frage', answer: 'Antwort' })).toEqual([
      ['a', 'b'],
    ]);
    expect(await pairs('{"q": "a", "a": "b"}', 'faq.jsonl', { question: 'q', answer: 'a' })).toEqual([['a', 'b']]);
  });

  it('goes by places where the first line is a row', async () => {
    const places = { question: 1, answer: 2 };
    expect(await pairs('a?,b\nc?,d\n', 'faq.csv', places)).toEqual([
      ['a?', 'b'],
      ['c?', 'd'],
    ]);
  });

  it('leaves other columns out, by name, those of a format too', async () => {
    const { examples, notices } = await parse('question,title,answer\na,b,c\n', 'faq.csv', {
      question: 'title',
      answer: 'answer',
    });
    expect(examples).toMatchObject([{ conversation: { messages: [{ content: 'b' }, { content: 'c' }] } }]);
    expect(notices.join(' ')).toMatch(/"column question" is left out/);
  });

  it.each([
    [{ question: 'Frage' }, 'bad-data', /faq\.csv has no column Frage, .*; it has title and reply\./],
    [{ questoin: 'title' }, 'bad-config', /dataset_mapping has questoin, .*nearest field is question/],
    [{ question: 'title', answer: 2 }, 'bad-config', /dataset_mapping has names of columns and places/],
    [{ question: 'title', answer: 'title' }, 'bad-config', /two fields from the column title/],
    [{ question: 1, answer: 3 }, 'bad-data', /has no column 3/],
  ])('is refused: %j', async (mapping, code, message) => {
    const [found, said] = await refusal(parse('title,reply\na,b\n', 'faq.csv', mapping));
    expect([found, said]).toEqual([code, expect.stringMatching(message)]);
  });
});

describe('questions and answers as text', () => {
  it.each([
    ['Q: Who?\nA: Me\n\nQ: Why?\nA: Because\n'],
    ['q: Who?\r\na: Me\r\nq: Why?\r\na: Because'],
    ['Question: Who?\nAnswer: Me\nQuestion: Why?\nAnswer: Because'],
    ['Q1: Who?\nA1: Me\nQ2: Why?\nA2: Because'],
    ['**Q:** Who?\n\n**A:** Me\n\n---\n\n**Q:** Why?\n\n**A:** Because\n'],
    ['### Q: Who?\nA: Me\n\n### Q: Why?\nA: Because\n'],
    ['Q:\nWho?\nA:\nMe\nQ:\nWhy?\nA:\nBecause'],
    ['- Q: Who?\n- A: Me\n- Q: Why?\n- A: Because\n'],
  ])('%j', async (text) => {
    expect(await pairs(text, 'faq.txt')).toEqual([
      ['Who?', 'Me'],
      ['Why?', 'Because'],
    ]);
  });

  it('may have answers of several paragraphs, and code whose comments stay', async () => {
    const text = 'Q: How?\nA: Like this:\n\n  # a comment\n  run()\n\nThat is all.\nQ: Why?\nA: Because\n';
    expect(await pairs(text, 'faq.md')).toEqual([
      ['How?', 'Like this:\n\n  # a comment\n  run()\n\nThat is all.'],
      ['Why?', 'Because'],
    ]);
  });

  it('may have a list in an answer, whose items begin as an answer would', async () => {
    const text = 'Q: Which?\nA: These:\n- a: one\n- b: two\n\nQ: Why?\n- A: Because\n- A: twice\n';
    const { examples, skipped } = await parse(text, 'faq.md');
    expect(
      examples.map((example) => example.kind === 'conversation' && example.conversation.messages[1]!.content),
    ).toEqual(['These:\n- a: one\n- b: two', 'Because']);
    expect(skipped).toMatchObject([{ row: 3, line: 8 }]);
  });

  it('names the lines between that belong to nothing', async () => {
    const text = 'Our FAQ\n\n## Fees\n\nQ: a\nA: b\n\n## Dates\n\nQ: c\nA: d\n';
    const { notices } = await parse(text, 'faq.md');
    expect(await pairs(text, 'faq.md')).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    expect(notices).toEqual(['Of faq.md, lines 1, 3 and 8 belong to no question and no answer, and are left out.']);
  });

  it('lists a question without an answer, and an answer without a question', async () => {
    const { examples, skipped } = await parse('Q: a\nQ: b\nA: c\nA: d\nQ: e\nA: f\nQ: g\nA: h\n', 'faq.txt');
    expect(examples.map(({ row }) => row)).toEqual([2, 4, 5]);
    expect(skipped).toEqual([
      { row: 1, reason: 'has question, but no answer to it: add answer' },
      { row: 3, line: 4, reason: 'has answer, but nothing that it answers: add question' },
    ]);
  });
});
