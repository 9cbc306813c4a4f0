/**
 * Which linears and tokens the config of an adapter selects, and with which rank and alpha, by PEFT's rules:
 * `check_target_module_exists` in `peft/tuners/tuners_utils.py`, `get_pattern_key` in `peft/utils/other.py`.
 */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import { pathEnds, type TrainableTokens } from '../core/spec';
import { isPlainObject, type JsonObject } from './json';
import { isSafeOnNames, SafeRegExp } from './regex';

/** Unsloth's patterns, the longest in use, have some hundred characters. */
const MAX_PATTERN_LENGTH = 10_000;

/** Says of a linear's whole name (`model.layers.0.self_attn.q_proj`) whether something is meant for it. */
export type ModuleTest = (module: string) => boolean;

/** What `target_modules` holds once read: names, a pattern, or words that stand for a choice. */
export type Targets =
  | { readonly kind: 'all-linear' | 'auto' }
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'pattern'; readonly test: ModuleTest };

/** @throws `bad-config` for another type of value, `unsupported` for a pattern that can't be read. */
export function readTargets(config: JsonObject): Targets {
  const value = config.get('target_modules');
  if (value === undefined) return { kind: 'auto' };
  if (value === 'all-linear') return { kind: 'all-linear' };
  if (typeof value === 'string') return { kind: 'pattern', test: pattern(config, 'target_modules', value) };
  return { kind: 'names', names: config.strings('target_modules') ?? [] };
}

/**
 * What `exclude_modules`, `layers_to_transform` and `layers_pattern` leave of the targets. Without any of them nothing
 * is taken away, and the result is undefined.
 */
export function readRestrictions(config: JsonObject, targets: Targets): ModuleTest | undefined {
  const tests = [excludes(config), layers(config, targets)].filter((test) => test !== undefined);
  return tests.length === 0 ? undefined : (module) => tests.every((test) => test(module));
}

export function targetsModule(targets: Targets, module: string): boolean {
  if (targets.kind === 'names') return pathEnds(module).some((end) => targets.names.includes(end));
  return targets.kind === 'pattern' ? targets.test(module) : true;
}

function excludes(config: JsonObject): ModuleTest | undefined {
  const value = config.get('exclude_modules');
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') {
    const excluded = pattern(config, 'exclude_modules', value);
    return (module) => !excluded(module);
  }
  const names = config.strings('exclude_modules') ?? [];
  return names.length === 0 ? undefined : (module) => !pathEnds(module).some((end) => names.includes(end));
}

/** As in PEFT, layers are told apart for targets that are named by an end of their path only. */
function layers(config: JsonObject, targets: Targets): ModuleTest | undefined {
  const value = config.get('layers_to_transform');
  const indices = typeof value === 'number' ? [value] : (config.numbers('layers_to_transform') ?? []);
  if (indices.length === 0) return undefined;
  if (targets.kind === 'pattern') {
    throw new GraftError(
      'bad-config',
      `${config.where}: layers_to_transform goes with a list of target_modules, not with the pattern ` +
        `${quote(config.get('target_modules'))}.`,
    );
  }
  const given = config.get('layers_pattern');
  const names = typeof given === 'string' ? [given] : (config.strings('layers_pattern') ?? []);
  const numbered = names.filter((name) => name !== '').map((name) => `.*\\.${name}\\.(\\d+)\\.`);
  const expressions = (numbered.length > 0 ? numbered : ['.*\\.[^.]*\\.(\\d+)\\.']).map((source) =>
    compile(config, 'layers_pattern', source, `^(?:${source})`),
  );
  return (module) => {
    if (targets.kind === 'names' && targets.names.includes(module)) return true;
    const layer = expressions.map((expression) => expression.exec(module)?.[1]).find((found) => found !== undefined);
    return layer !== undefined && indices.includes(Number(layer));
  };
}

/** `rank_pattern` or `alpha_pattern`: the value for a linear, or undefined where the config's own holds. */
export function readPatternValues(config: JsonObject, key: string): (module: string) => number | undefined {
  const entries = config.object(key);
  const rules = (entries?.keys() ?? []).map((name) => ({
    value: entries?.required(name, entries.positive(name)),
    expression: compile(config, key, name, `^(?:.*\\.)?(?:${name})$`),
  }));
  return (module) => rules.find(({ expression }) => expression.test(module))?.value;
}

/** A regular expression that must match a whole name. */
function pattern(config: JsonObject, key: string, source: string): ModuleTest {
  const expression = compile(config, key, source, `^(?:${source})$`);
  return (module) => expression.test(module);
}

/** An expression in Python's syntax; `anchored` is `source` with what surrounds it. */
function compile(config: JsonObject, key: string, source: string, anchored: string): RegExp {
  const refuse = (cause?: unknown) =>
    new GraftError(
      'unsupported',
      `${config.where}: ${key} holds ${quote(source)}, a regular expression that can't be read here; list the names instead.`,
      { cause },
    );
  if (source.length > MAX_PATTERN_LENGTH) throw refuse();
  // Where Python writes otherwise what JavaScript has: named groups, the ends of a text, flags for the whole.
  const flags = /^\(\?([aimsux]+)\)/.exec(source)?.[1] ?? '';
  if (/[ux]/.test(flags)) throw refuse();
  const translated = anchored
    .replace(flags && `(?${flags})`, '')
    .replaceAll('(?P<', '(?<')
    .replace(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll('\\A', '^')
    .replaceAll('\\Z', '$');
  const ownFlags = flags.replace(/[am]/g, '');
  try {
    if (isSafeOnNames(translated)) return new RegExp(translated, ownFlags);
    // The number of a layer is read out of what matched, which only the engine itself tells.
    if (key === 'layers_pattern') throw refuse();
    return new SafeRegExp(translated, ownFlags);
  } catch (cause) {
    throw refuse(cause);
  }
}

/**
 * `trainable_token_indices`: ids of tokens by table, or a list for the embedding.
 * Throws `bad-config` for another form, and `unsupported` for a module that is neither embedding nor head.
 */
export function readTrainableTokens(config: JsonObject): TrainableTokens | undefined {
  const key = 'trainable_token_indices';
  const given = config.get(key);
  if (given === undefined) return undefined;
  const byTable = Array.isArray(given) ? { embed_tokens: given as unknown } : given;
  const expected = 'a list of token ids, each once, or such lists by module';
  if (!isPlainObject(byTable)) throw config.wrong(key, expected);
  const tokens: { embed_tokens?: number[]; lm_head?: number[] } = {};
  for (const [module, ids] of Object.entries(byTable)) {
    const table = (['embed_tokens', 'lm_head'] as const).find((name) => pathEnds(module).includes(name));
    if (!table) {
      throw new GraftError(
        'unsupported',
        `${config.where}: ${key} names ${quote(module)}; Graft trains rows of embed_tokens and lm_head only.`,
      );
    }
    if (!Array.isArray(ids) || !ids.every(isTokenId) || new Set(ids).size < ids.length || tokens[table])
      throw config.wrong(key, expected);
    if (ids.length > 0) tokens[table] = ids;
  }
  return Object.keys(tokens).length > 0 ? tokens : undefined;
}

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
