/** The columns of a file, as they are shown to whoever maps them. */
import { describe, expect, it } from 'vitest';
import { findColumns } from '../../../src/data/columns';

const find = (text: string, name = 'faq.csv') => findColumns(name, new TextEncoder().encode(text));

describe('findColumns', () => {
  it('gives those of a table, with the first cell that has something', () => {
    expect(find('Nr;Frage;Antwort\n1;;Ja.\n2;Was?;Nein.\n')).toEqual({
      isTable: true,
      columns: [
        { name: 'Nr', field: undefined, sample: '1' },
        { name: 'Frage', field: undefined, sample: 'Was?' },
        { name: 'Antwort', field: undefined, sample: 'Ja.' },
      ],
    });
  });

  it('knows the field that a name is', () => {
    expect(find('ID,Question, ANSWER \n1,a,b\n')?.columns.map(({ field }) => field)).toEqual([
      undefined,
      'question',
      'answer',
    ]);
  });

  it('reads a beginning that ends within a row, and within a quoted cell', () => {
    const row = '"Why, then?","Because\nso"\n';
    for (let cut = 20; cut < 60; cut++) {
      const found = find(`title,reply\n${row}${row}`.slice(0, cut));
      expect(found?.columns.map(({ name }) => name)).toEqual(['title', 'reply']);
    }
  });

  it.each([
    ['lines', '{"q": 1, "a": {"b": 2}}\n{"q": 2, "c": "x"}\n'],
    ['an array', '[{"q": 1, "a": {"b": 2}}, {"c": "x"}]'],
    ['one row in many lines', '{\n"q": 1,\n"a": {"b": 2},\n"c": "x"\n}'],
  ])('gives the fields of rows in JSON: %s', (_, text) => {
    expect(find(text, 'rows.json')).toEqual({
      isTable: false,
      columns: [
        { name: 'q', field: undefined, sample: '1' },
        { name: 'a', field: undefined, sample: '{"b":2}' },
        { name: 'c', field: undefined, sample: 'x' },
      ],
    });
  });

  it('reads UTF-16, as spreadsheets save it, cut within a character too', () => {
    const text = '\uFEFFFrage\tAntwort\nWas?\tJa.\nWer?\tIch.\n';
    const bytes = new Uint8Array(Uint16Array.from(text, (character) => character.charCodeAt(0)).buffer);
    for (const head of [bytes, bytes.subarray(0, -1)]) {
      expect(findColumns('faq.txt', head)?.columns.map(({ name, sample }) => [name, sample])).toEqual([
        ['Frage', 'Was?'],
        ['Antwort', 'Ja.'],
      ]);
    }
  });

  it('gives the only column of a file that is a table by its name', () => {
    expect(find('review\nGood.\n"Bad, mostly."\n')?.columns).toEqual([
      { name: 'review', field: undefined, sample: 'Good.' },
    ]);
  });

  it.each(['Once upon a time.', '', '\x1f\x8b\x08,,,', 'PAR1,a,b'])('finds none in %j', (text) => {
    expect(
      findColumns(
        'x',
        Uint8Array.from(text, (character) => character.charCodeAt(0)),
      ),
    ).toBeUndefined();
  });
});
