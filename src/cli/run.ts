/** From a command line to an exit code. */
import { GraftError } from '../core/errors';
import { nearest } from '../core/nearest';
import { VERSION } from '../core/version';
import { RUN_CONFIG_KEYS } from '../core/config';
import { COMMON_FLAGS, readArguments, type Flag } from './arguments';
import type { Command } from './command';
import { cache } from './commands/cache';
import { chat } from './commands/chat';
import { exportModel } from './commands/export';
import { forward } from './commands/forward';
import { generate } from './commands/generate';
import { data } from './commands/data';
import { plan } from './commands/plan';
import { tokens } from './commands/tokens';
import { train } from './commands/train';
import { Terminal, type Output } from './terminal';

const COMMANDS: readonly Command[] = [train, generate, chat, exportModel, forward, plan, data, tokens, cache];

/** What the shell reports for a program that Ctrl-C ended. */
const INTERRUPTED = 130;

/**
 * Runs one command and returns its exit code: 0, 1 after one line on `err` for what the user can act on, 130 after
 * Ctrl-C. A programming error is thrown on.
 */
export async function runCommandLine(
  argv: readonly string[],
  out: Output,
  err: Output,
  signal: AbortSignal,
): Promise<number> {
  const terminal = new Terminal(out, err, argv.includes('--json'));
  const [name = '--help', ...rest] = argv;
  try {
    if (['--help', '-h', 'help'].includes(name)) out.write(overview());
    else if (name === '--version') out.write(`${VERSION}\n`);
    else {
      const command = findCommand(name);
      if (rest.includes('--help') || rest.includes('-h')) out.write(help(command));
      else await command.run(readArguments(rest, command.syntax), terminal, signal);
    }
    return signal.aborted ? INTERRUPTED : 0;
  } catch (error) {
    if (!(error instanceof GraftError)) throw error;
    terminal.say(`graft: ${error.message}`);
    terminal.emit({ kind: 'error', code: error.code, message: error.message });
    return error.code === 'cancelled' ? INTERRUPTED : 1;
  } finally {
    terminal.hideBar();
  }
}

function findCommand(name: string): Command {
  const command = COMMANDS.find((known) => known.name === name);
  if (command) return command;
  const names = COMMANDS.map((known) => known.name);
  throw new GraftError(
    'bad-config',
    `There is no command ${name}; did you mean ${nearest(name, names)}? The commands are ${names.join(', ')}.`,
  );
}

function overview(): string {
  const lines = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}\n`).join('');
  return `usage: graft COMMAND [OPTIONS]\n\n${lines}\ngraft COMMAND --help says more; every command has --json.\n`;
}

function help({ name, summary, usage, syntax }: Command): string {
  const line = (flag: string, { value, help: text }: Flag) => `  ${`--${flag} ${value ?? ''}`.padEnd(26)} ${text}\n`;
  const flags = Object.entries({ ...syntax.flags, ...COMMON_FLAGS }).map(([flag, entry]) => line(flag, entry));
  const keys = Object.entries(RUN_CONFIG_KEYS).map(([key, text]) => `  --${key.padEnd(32)} ${text}\n`);
  const runKeys = syntax.runKeys ? `\nkeys of the run file:\n${keys.join('')}` : '';
  return `graft ${name}: ${summary}\n\nusage: graft ${name} ${usage}\n\n${flags.join('')}${runKeys}`;
}
