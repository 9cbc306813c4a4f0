import type { ChatTemplate, Message, Tokenizer } from '../../../src/core/text';

/** A tokenizer of single characters; names in `<|…|>` are tokens of their own, ids from 200000. */
export function characters(special: readonly string[], stops: readonly string[]): Tokenizer {
  const base = 200_000;
  const pattern = new RegExp(`(${special.map((name) => name.replace(/[|]/g, '\\|')).join('|')})`);
  const idOf = (name: string) => base + special.indexOf(name);
  const encode = (text: string) =>
    text
      .split(pattern)
      .flatMap((part) =>
        special.includes(part) ? [idOf(part)] : [...part].map((character) => character.codePointAt(0)!),
      );
  return {
    vocabSize: base + special.length,
    bosTokenId: undefined,
    eosTokenId: stops[0] === undefined ? undefined : idOf(stops[0]),
    stopTokenIds: stops.map(idOf),
    padTokenId: 0,
    encode,
    locate: (text, offsets) => ({
      ids: encode(text),
      positions: offsets.map((offset) => ({ before: encode(text.slice(0, offset)).length, straddled: false })),
    }),
    decode: (ids, { skipSpecialTokens }) =>
      ids.map((id) => (id < base ? String.fromCodePoint(id) : skipSpecialTokens ? '' : special[id - base]!)).join(''),
  };
}

export function template(render: (messages: readonly Message[], generate: boolean) => string): ChatTemplate {
  return {
    source: 'test',
    text: '',
    render: ({ messages }, { addGenerationPrompt }) => render(messages, addGenerationPrompt),
  };
}
