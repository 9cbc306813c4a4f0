/** Post-processors of tokenizer.json: the special tokens around a text. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { isPlainObject, JsonObject } from '../json';

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
    case 'Sequence': {
      const list = config.get('processors');
      if (!Array.isArray(list) || !list.every(isPlainObject)) throw config.wrong('processors', 'a list of objects');
      return list
        .map((value, i) => readPostProcessor(new JsonObject(`${config.where}[${i}]`, value)))
        .reduce((inner, outer) => ({
          before: [...outer.before, ...inner.before],
          after: [...inner.after, ...outer.after],
        }));
    }
    default:
      throw new GraftError('unsupported', `its post-processor ${quote(type)} is none that Graft knows`);
  }
}

/** `["[CLS]", 101]` */
function pairId(config: JsonObject, key: string): number {
  const pair = config.get(key);
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (typeof id !== 'number') throw config.wrong(key, 'a token and its id');
  return id;
}

function template(config: JsonObject): Around {
  const list = config.get('single');
  if (!Array.isArray(list) || !list.every(isPlainObject)) throw config.wrong('single', 'a list of objects');
  const items = list.map((value, i) => new JsonObject(`${config.where}: single[${i}]`, value));
  const text = items.findIndex((item) => item.object('Sequence') !== undefined);
  const idsOf = (item: JsonObject): number[] => {
    const name = item.object('SpecialToken')?.string('id');
    if (name === undefined) return [];
    const ids = config.object('special_tokens')?.object(name)?.ids('ids');
    if (!ids) throw new GraftError('bad-config', `${config.where}: special_tokens lacks ${quote(name)}`);
    return ids;
  };
  const before = text < 0 ? items : items.slice(0, text);
  return { before: before.flatMap(idsOf), after: text < 0 ? [] : items.slice(text + 1).flatMap(idsOf) };
}
