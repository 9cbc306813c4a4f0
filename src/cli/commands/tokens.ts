import { basename } from 'node:path';
import { GraftError } from '../../core/errors';
import { plural, quote } from '../../core/format';
import { jsonFault, parseJson } from '../../core/json';
import { linesOf } from '../../core/lines';
import { openTextModel } from '../../formats/text-model';
import type { Arguments } from '../arguments';
import type { Command } from '../command';
import { MODEL_FLAG, modelName } from '../loading';
import { readInputText } from '../input';
import { modelSource } from '../sources';
import { UsageError } from '../usage';

export const tokens: Command = {
  name: 'tokens',
  summary: 'the tokens of a text, as the model reads it',
  usage: '--model MODEL (TEXT… | --input F.jsonl) [--special]',
  syntax: {
    positionals: Infinity,
    runKeys: false,
    flags: {
      model: { ...MODEL_FLAG, help: `${MODEL_FLAG.help}; its tokenizer is enough` },
      input: { value: 'FILE', help: 'JSON Lines, each a text or an object with a field text' },
      special: { help: 'add the tokens that the tokenizer puts around a text (BOS, EOS)' },
    },
  },
  async run(args, terminal, signal) {
    const texts = await readTexts(args, signal);
    const source = await modelSource(modelName(args), undefined, (line) => terminal.say(line), signal);
    const { tokenizer } = await openTextModel(source);
    for (const text of texts) {
      const ids = tokenizer.encode(text, { addSpecialTokens: args.has('special') });
      const pieces = ids.map((id) => tokenizer.tokenAt(id) ?? '');
      terminal.emit({ ids, pieces });
      terminal.print(ids.map((id, i) => `${String(id).padStart(7)}  ${JSON.stringify(pieces[i])}\n`).join(''));
      terminal.print(`${plural(ids.length, 'token')}\n`);
    }
  },
};

async function readTexts(args: Arguments, signal: AbortSignal): Promise<readonly string[]> {
  const input = args.text('input');
  if ((input === undefined) === (args.positionals.length === 0)) {
    throw new UsageError('Give either texts or --input FILE.');
  }
  if (input === undefined) return args.positionals;
  const name = basename(input);
  const lines = [...linesOf(await readInputText(input, 'input file', signal))];
  return lines.flatMap((line, i) => (line.trim() === '' ? [] : [textOf(line, name, i + 1)]));
}

function textOf(line: string, name: string, row: number): string {
  const value = parseJson(line);
  if (value === undefined) {
    const { column, what } = jsonFault(line);
    throw new GraftError('bad-data', `${name} is not valid JSON at line ${row}, column ${column}: ${what}.`);
  }
  const isObject = typeof value === 'object' && value !== null && Object.hasOwn(value, 'text');
  const text = isObject ? (value as { text: unknown }).text : value;
  if (typeof text === 'string') return text;
  throw new GraftError(
    'bad-data',
    `${name}, line ${row}: expected a text, or an object with a field text, but found ${quote(value)}.`,
  );
}
