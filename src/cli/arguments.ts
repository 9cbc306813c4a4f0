/** Command lines to typed values: flags of the command, and every key of the run file as a flag. */
import { RUN_CONFIG_KEYS } from '../core/config';
import { suggestName } from '../core/nearest';
import { UsageError } from './usage';

export interface Flag {
  /** What stands after it in the usage, `FILE`; none for a switch. */
  readonly value?: string;
  readonly help: string;
  /** The value that stands for an absent flag, as the help names it. */
  readonly default?: string;
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

  /** @throws UsageError where it isn't given */
  required(flag: string, what: string): string {
    const value = this.text(flag);
    if (value === undefined) throw new UsageError(`--${flag} is missing: ${what}.`);
    return value;
  }

  /** @throws UsageError where it isn't a number of that range */
  number(
    flag: string,
    { least = -Infinity, above = -Infinity, most = Infinity, whole = false } = {},
  ): number | undefined {
    const value = this.text(flag);
    if (value === undefined) return undefined;
    const number = Number(value);
    const isInRange = Number.isFinite(number) && number >= least && number > above && number <= most;
    if (value.trim() !== '' && isInRange && (!whole || Number.isInteger(number))) return number;
    const from = above === -Infinity ? `${least} or more` : `above ${above}`;
    const to = above === -Infinity ? `from ${least} to ${most}` : `above ${above} and at most ${most}`;
    const range = most === Infinity ? from : to;
    throw new UsageError(
      `--${flag} must be a ${whole ? 'whole ' : ''}number, ${range}, but is ${JSON.stringify(value)}.`,
    );
  }
}

const RUN_KEYS = new Map(Object.keys(RUN_CONFIG_KEYS).map((key) => [withDashes(key), key]));

/** Every command has these. */
export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  json: { help: 'every line is JSON: results and events on standard output, messages and progress on standard error' },
  help: { help: 'this text (-h)' },
};

/** What a command line says, and what of it can't be meant. */
export interface ScannedArguments {
  readonly args: Arguments;
  /** A sentence for each thing that is wrong. */
  readonly problems: readonly string[];
}

/**
 * Reads the words after a command. Names of flags may be written with `-` or `_`, as Hugging Face's tools take both; a
 * value may begin with one dash (`--max_steps -1`, `--prompt -h`), and with two after an equal sign (`--prompt=--`).
 */
export function scanArguments(argv: readonly string[], syntax: Syntax): ScannedArguments {
  const flags = new Map(Object.entries({ ...COMMON_FLAGS, ...syntax.flags }));
  const positionals: string[] = [];
  const values = new Map<string, string[]>();
  const overrides: Record<string, string> = {};
  const unknown: string[] = [];
  const problems: string[] = [];

  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--') {
      positionals.push(...argv.slice(i + 1));
      break;
    }
    if (!isFlag(word)) {
      positionals.push(word);
      continue;
    }
    const [, written = '', joined] = /^(--?[^=]*)(?:=(.*))?$/s.exec(word)!;
    const name = written === '-h' ? 'help' : written.startsWith('--') ? withDashes(written.slice(2)) : '';
    const flag = flags.get(name);
    const key = syntax.runKeys && !flag ? RUN_KEYS.get(name) : undefined;
    const isSwitch = flag !== undefined && flag.value === undefined;
    const next = argv[i + 1];
    const takesNext = joined === undefined && !isSwitch && next !== undefined && !/^--[a-z]/i.test(next);
    const value = takesNext ? next : joined;
    if (takesNext) i++;

    if (key !== undefined) overrides[key] = value ?? 'true';
    else if (!flag) unknown.push(written);
    else if (isSwitch && joined !== undefined) problems.push(`--${name} takes no value.`);
    else if (!isSwitch && value === undefined) problems.push(`--${name} needs a value: --${name} ${flag.value}.`);
    else if (!isSwitch && values.has(name) && !flag.multiple) problems.push(`--${name} is given twice.`);
    else values.set(name, [...(values.get(name) ?? []), value ?? 'true']);
  }
  problems.unshift(...unknown.map((written) => refuseFlag(written, [...flags.keys()], syntax.runKeys)));
  const extra = positionals[syntax.positionals];
  if (extra !== undefined) problems.push(`${JSON.stringify(extra)} is one word too many here.`);
  return { args: new Arguments(positionals, values, overrides), problems };
}

/** The same. @throws UsageError with all that is wrong: flags that there aren't, missing values, a word too many */
export function readArguments(argv: readonly string[], syntax: Syntax): Arguments {
  const { args, problems } = scanArguments(argv, syntax);
  if (problems.length > 0) throw new UsageError(problems.join(' '));
  return args;
}

/** `-` alone is standard input, and a number with a sign is no flag. */
function isFlag(word: string): boolean {
  return /^-[^\d.]/.test(word) && word !== '-';
}

function refuseFlag(written: string, flags: readonly string[], runKeys: boolean): string {
  const name = written.replace(/^-+/, '');
  const keys = runKeys ? [...RUN_KEYS.values()] : [];
  const meant = suggestName(name, [...flags, ...keys]);
  return `There is no ${written} here${meant === undefined ? '; --help lists what there is.' : `; did you mean --${meant}?`}`;
}

function withDashes(name: string): string {
  return name.replaceAll('_', '-');
}
