/** Command lines to typed values: flags of the command, and every key of the run file as a flag. */
import { parseArgs } from 'node:util';
import { RUN_CONFIG_KEYS } from '../core/config';
import { GraftError } from '../core/errors';
import { nearest } from '../core/nearest';

export interface Flag {
  /** What stands after it in the usage, `FILE`; none for a switch. */
  readonly value?: string;
  readonly help: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
}

export interface Syntax {
  /** Names with dashes, without the two in front. */
  readonly flags: Readonly<Record<string, Flag>>;
  /** How many plain words there may be. */
  readonly positionals: number;
  /** Whether any key of the run file is a flag too. */
  readonly runKeys: boolean;
}

export class Arguments {
  constructor(
    readonly positionals: readonly string[],
    private readonly values: ReadonlyMap<string, readonly string[]>,
    /** Keys of the run file that were given as flags, under their own names. */
    readonly overrides: Readonly<Record<string, string>>,
  ) {}

  has(flag: string): boolean {
    return this.values.has(flag);
  }

  text(flag: string): string | undefined {
    return this.values.get(flag)?.at(-1);
  }

  all(flag: string): readonly string[] {
    return this.values.get(flag) ?? [];
  }

  /** Throws `bad-config` where it isn't given. */
  required(flag: string, what: string): string {
    const value = this.text(flag);
    if (value === undefined) throw new GraftError('bad-config', `--${flag} is missing: ${what}.`);
    return value;
  }

  /** Throws `bad-config` where it isn't a number of that range. */
  number(flag: string, { least = -Infinity, most = Infinity, whole = false } = {}): number | undefined {
    const value = this.text(flag);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (value.trim() !== '' && number >= least && number <= most && (!whole || Number.isInteger(number))) return number;
    const range = most === Infinity ? `${least} or more` : `from ${least} to ${most}`;
    throw new GraftError(
      'bad-config',
      `--${flag} must be a ${whole ? 'whole ' : ''}number, ${range}, but is ${JSON.stringify(value)}.`,
    );
  }
}

const RUN_KEYS = new Map(Object.keys(RUN_CONFIG_KEYS).map((key) => [dashed(key), key]));

/** Every command has these. */
export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  json: { help: 'results as JSON lines on standard output' },
  help: { help: 'this text' },
};

/** @throws `bad-config` for a flag that there isn't (with the nearest one), a missing value, or a word too many. */
export function readArguments(argv: readonly string[], syntax: Syntax): Arguments {
  const flags: Readonly<Record<string, Flag>> = { ...COMMON_FLAGS, ...syntax.flags };
  const known = [...Object.keys(flags), ...(syntax.runKeys ? RUN_KEYS.keys() : [])];
  const takesValue = (name: string) => !(name in flags) || flags[name]!.value !== undefined;
  // Without a list of options every flag keeps the value that is joined to it, and takes no other.
  const { tokens } = parseArgs({ args: joinValues(argv, takesValue), strict: false, tokens: true });

  const positionals: string[] = [];
  const values = new Map<string, string[]>();
  const overrides: Record<string, string> = {};
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    if (!known.includes(name)) {
      throw new GraftError('bad-config', `There is no ${rawName} here; did you mean --${nearest(name, known)}?`);
    }
    const flag = flags[name];
    if (!flag) overrides[RUN_KEYS.get(name)!] = value ?? 'true';
    else if (flag.value === undefined && value !== undefined)
      throw new GraftError('bad-config', `--${name} takes no value.`);
    else if (flag.value !== undefined && value === undefined)
      throw new GraftError('bad-config', `--${name} needs a value: --${name} ${flag.value}.`);
    else if (values.has(name) && !flag.multiple) throw new GraftError('bad-config', `--${name} is given twice.`);
    else values.set(name, [...(values.get(name) ?? []), value ?? 'true']);
  }
  const extra = positionals[syntax.positionals];
  if (extra !== undefined) throw new GraftError('bad-config', `${JSON.stringify(extra)} is one word too many here.`);
  return new Arguments(positionals, values, overrides);
}

/** `--max_steps -1` as `--max-steps=-1`: keys may be written with either dash, and values may begin with one. */
function joinValues(argv: readonly string[], takesValue: (name: string) => boolean): string[] {
  const joined: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    const [, name, rest = ''] = /^--([^=]+)(=.*)?$/s.exec(word) ?? [];
    if (name === undefined) {
      joined.push(word);
      continue;
    }
    const next = argv[i + 1];
    const valueFollows = rest === '' && next !== undefined && !/^--[a-z]/i.test(next) && takesValue(dashed(name));
    joined.push(`--${dashed(name)}${valueFollows ? `=${next}` : rest}`);
    if (valueFollows) i++;
  }
  return joined;
}

function dashed(name: string): string {
  return name.replaceAll('_', '-');
}
