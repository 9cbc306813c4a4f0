/** What a command of the command line is. */
import type { Arguments, Syntax } from './arguments';
import type { Terminal } from './terminal';

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What stands after `graft NAME` in the usage. */
  readonly usage: string;
  readonly syntax: Syntax;
  /**
   * Does the work. `signal` is aborted by Ctrl-C.
   * @throws `GraftError` for what the user can act on.
   */
  run(args: Arguments, terminal: Terminal, signal: AbortSignal): Promise<void>;
}
