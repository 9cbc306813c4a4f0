/** From a command line to an exit code. */
import { GraftError } from '../core/errors';
import { suggestName } from '../core/nearest';
import { VERSION } from '../core/version';
import { scanArguments, type Arguments } from './arguments';
import type { Command } from './command';
import { cache } from './commands/cache';
import { chat } from './commands/chat';
import { exportModel } from './commands/export';
import { forward } from './commands/forward';
import { generate } from './commands/generate';
import { combine } from './commands/combine';
import { data } from './commands/data';
import { plan } from './commands/plan';
import { push } from './commands/push';
import { serve } from './commands/serve';
import { tokens } from './commands/tokens';
import { train } from './commands/train';
import { handoff } from './commands/handoff';
import { verify } from './commands/verify';
import { commandHelp, overview } from './help';
import { describeFailure, type StreamFailure } from './standard-output';
import { Terminal, type Output } from './terminal';
import { UsageError } from './usage';

const COMMANDS: readonly Command[] = [
  train,
  generate,
  chat,
  exportModel,
  verify,
  combine,
  push,
  serve,
  handoff,
  forward,
  plan,
  data,
  tokens,
  cache,
];

/** What the shell reports for a program that Ctrl-C ended, and for one whose reader has gone (SIGPIPE). */
const INTERRUPTED = 130;
const READER_GONE = 141;
const FAILED = 1;
const CALLED_WRONGLY = 2;

/** Standard output, which may fail: its reader leaves, or the disk under it is full. */
export interface ResultOutput extends Output {
  onFailure?(listener: (failure: StreamFailure) => void): void;
  flush?(): Promise<void>;
}

/**
 * Runs one command and returns its exit code: 0, 1 after one line on `err` for what the user can act on, 2 for a wrong
 * call, 130 after Ctrl-C, 141 where nobody reads the result. A programming error is thrown on.
 */
export async function runCommandLine(
  argv: readonly string[],
  out: ResultOutput,
  err: Output,
  signal: AbortSignal,
): Promise<number> {
  const { name, rest, json } = splitCommand(argv);
  const call = name === undefined ? undefined : COMMANDS.find((command) => command.name === name);
  const scanned = call && scanArguments(rest, call.syntax);
  const terminal = new Terminal(out, err, json || (scanned?.args.has('json') ?? argv.includes('--json')));
  const goesOn = (scanned && call.keepsResult?.(scanned.args)) ?? false;
  const unread = new AbortController();
  let failure: StreamFailure | undefined;
  out.onFailure?.((cause) => {
    failure = cause;
    if (!goesOn) unread.abort();
    else terminal.say(`Standard output can't be written (${describeFailure(cause)}): going on without it.`);
  });

  const onStop = () => terminal.say('Stopping; once more stops at once.');
  signal.addEventListener('abort', onStop, { once: true });

  /** What a failed standard output makes of an exit code. */
  const conclude = async (code: number): Promise<number> => {
    await out.flush?.();
    if (failure === undefined || (goesOn && failure.code === 'EPIPE')) return code;
    if (failure.code === 'EPIPE') return code === 0 || unread.signal.aborted ? READER_GONE : code;
    terminal.fail('storage', `The result can't be written to standard output: ${describeFailure(failure)}.`);
    return code === 0 || unread.signal.aborted ? FAILED : code;
  };

  try {
    const answer = call && scanned ? helpOf(call, scanned.args) : simpleAnswer(name, rest);
    if (answer !== undefined) terminal.printAlways(answer);
    else {
      if (scanned!.problems.length > 0) throw new UsageError(scanned!.problems.join(' '));
      await call!.run(scanned!.args, terminal, AbortSignal.any([signal, unread.signal]));
    }
    return await conclude(signal.aborted ? INTERRUPTED : 0);
  } catch (error) {
    if (!(error instanceof GraftError)) throw error;
    const stopped = error.code === 'cancelled';
    if (!(stopped && unread.signal.aborted)) {
      terminal.fail(error.code, error.message);
      terminal.emit({ kind: 'error', code: error.code, message: error.message });
    }
    return await conclude(stopped ? INTERRUPTED : error instanceof UsageError ? CALLED_WRONGLY : FAILED);
  } finally {
    signal.removeEventListener('abort', onStop);
    terminal.hideBar();
  }
}

/** The command's name, what stands after it, and whether `--json` stands before it. */
function splitCommand(argv: readonly string[]): { name: string | undefined; rest: readonly string[]; json: boolean } {
  const first = argv.findIndex((word) => word !== '--json');
  if (first < 0) return { name: undefined, rest: [], json: argv.length > 0 };
  return { name: argv[first], rest: argv.slice(first + 1), json: first > 0 };
}

function helpOf(command: Command, args: Arguments): string | undefined {
  return args.has('help') ? commandHelp(command) : undefined;
}

/** The answer to a line that names no command of its own: help, or the version. @throws UsageError for anything else */
function simpleAnswer(name: string | undefined, rest: readonly string[]): string {
  if (name === '--version' || name === '-v') return `${VERSION}\n`;
  if (name === undefined || ['--help', '-h', 'help'].includes(name)) {
    const topic = rest.find((word) => !word.startsWith('-'));
    return topic === undefined ? overview(COMMANDS) : commandHelp(findCommand(topic));
  }
  if (name.startsWith('-')) {
    throw new UsageError(
      `${name} stands before the command: write graft COMMAND ${name}; graft --help lists the commands.`,
    );
  }
  return commandHelp(findCommand(name));
}

/** @throws UsageError where there is none of that name */
function findCommand(name: string): Command {
  const command = COMMANDS.find((known) => known.name === name);
  if (command) return command;
  const names = COMMANDS.map((known) => known.name);
  const meant = suggestName(name, names);
  throw new UsageError(
    `There is no command ${name}${meant === undefined ? '.' : `; did you mean ${meant}?`} The commands are ${names.join(', ')}.`,
  );
}
