/** What `graft --help` and `graft COMMAND --help` print. */
import { describeRunKey, RUN_CONFIG_KEYS, type RunConfigKey } from '../core/config';
import { COMMON_FLAGS, type Flag } from './arguments';
import type { Command } from './command';

/** Columns before the text on a flag. */
const INDENT = 28;
const WIDTH = 100;

export function overview(commands: readonly Command[]): string {
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}\n`).join('');
  return (
    `usage: graft COMMAND [OPTIONS]\n\n${lines}\n` +
    'graft help COMMAND (or graft COMMAND --help) says more; every command has --json. graft --version is -v.\n' +
    'It exits with 0 when done, 1 on failure (a file that it was given included), 2 where its own words are wrong, 130 after Ctrl-C.\n'
  );
}

export function commandHelp({ name, summary, usage, syntax }: Command): string {
  const flags = Object.entries({ ...syntax.flags, ...COMMON_FLAGS }).map(([flag, entry]) => flagHelp(flag, entry));
  const keys = (Object.keys(RUN_CONFIG_KEYS) as RunConfigKey[]).map(runKeyHelp);
  const runKeys = syntax.runKeys
    ? `\nkeys of the run file (--learning_rate or --learning-rate):\n${keys.join('')}`
    : '';
  return `graft ${name}: ${summary}\n\nusage: graft ${name} ${usage}\n\n${flags.join('')}${runKeys}`;
}

function flagHelp(name: string, { value, help, default: fallback }: Flag): string {
  return entry(`--${name}${value === undefined ? '' : ` ${value}`}`, help + defaultNote(fallback));
}

function runKeyHelp(key: RunConfigKey): string {
  const { expected, fallback } = describeRunKey(key);
  return entry(
    `--${key}`,
    RUN_CONFIG_KEYS[key] + (expected === 'text' ? '' : ` Takes ${expected}`) + defaultNote(fallback),
  );
}

function defaultNote(value: string | undefined): string {
  return value === undefined ? '' : ` (default: ${value})`;
}

/** A flag and what it does, in lines that a terminal has room for. */
function entry(flag: string, text: string): string {
  const lines: string[] = [];
  let line = `  ${flag}`;
  if (line.length > INDENT - 2) {
    lines.push(line);
    line = '';
  }
  line = line.padEnd(INDENT - 1);
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > WIDTH && line.trim() !== '') {
      lines.push(line);
      line = ' '.repeat(INDENT - 1);
    }
    line += ` ${word}`;
  }
  return [...lines, line].map((text) => `${text.trimEnd()}\n`).join('');
}
