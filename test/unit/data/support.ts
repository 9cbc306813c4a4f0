import type { ChatTemplate, Message, Tokenizer } from '../../../src/core/text';

/** What `Tokenizer.locate` means: every prefix is encoded by itself. */
export function locateByPrefixes(encode: (text: string) => number[]): Tokenizer['locate'] {
  return (text, offsets) => {
    const ids = encode(text);
    const positions = offsets.map((offset) => {
      const prefix = encode(text.slice(0, offset));
      const differs = prefix.findIndex((id, i) => id !== ids[i]);
      return { before: differs < 0 ? prefix.length : differs, straddled: differs >= 0 };
    });
    return { ids, positions };
  };
}

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
    locate: locateByPrefixes(encode),
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
