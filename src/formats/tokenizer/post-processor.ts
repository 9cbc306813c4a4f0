/** Post-processors of tokenizer.json: the special tokens around a text. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import { MAX_STEPS, MAX_VOCABULARY } from './types';

/** Ids that are put before a text and after it. */
export interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** @throws `unsupported` for a kind that Graft doesn't know, by its name. */
export function readPostProcessor(config: JsonObject | undefined): Around {
  const type = config?.string('type');
  if (!config) return { before: [], after: [] };
  switch (type) {
    case 'ByteLevel':
      return { before: [], after: [] };
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { before: [pairId(config, 'cls')], after: [pairId(config, 'sep')] };
    case 'TemplateProcessing':
      return template(config);
    case 'Sequence':
      return config
        .required('processors', config.objects('processors', MAX_STEPS))
        .map(readPostProcessor)
        .reduce((inner, outer) => ({
          before: [...outer.before, ...inner.before],
          after: [...inner.after, ...outer.after],
        }));
    default:
      throw new GraftError('unsupported', `its post-processor ${quote(type)} is none that Graft knows`);
  }
}

/** `["[CLS]", 101]` */
function pairId(config: JsonObject, key: string): number {
  const pair = config.get(key);
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (!isId(id)) throw config.wrong(key, 'a token and its id');
  return id;
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < MAX_VOCABULARY;
}

function template(config: JsonObject): Around {
  const items = config.required('single', config.objects('single', MAX_STEPS));
  const text = items.findIndex((item) => item.object('Sequence') !== undefined);
  const idsOf = (item: JsonObject): number[] => {
    if (item.object('Sequence')) return [];
    const token = item.required('SpecialToken', item.object('SpecialToken'));
    const name = token.required('id', token.string('id'));
    const special = config.object('special_tokens')?.object(name);
    if (!special) throw new GraftError('bad-config', `${config.where}: special_tokens lacks ${quote(name)}`);
    const ids = special.ids('ids');
    if (!ids.every(isId)) throw special.wrong('ids', 'a list of token ids');
    return ids;
  };
  const before = text < 0 ? items : items.slice(0, text);
  return { before: before.flatMap(idsOf), after: text < 0 ? [] : items.slice(text + 1).flatMap(idsOf) };
}
