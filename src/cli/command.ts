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
   * Whether the result of a call is kept elsewhere than on standard output. Such a call goes on where nobody reads that
   * any more (`graft train --json | head`); any other stops, as there is nothing left to do it for.
   */
  keepsResult?(args: Arguments): boolean;
  /**
   * Does the work. `signal` is aborted by Ctrl-C.
   * @throws `GraftError` for what the user can act on; `UsageError` for a wrong call
   */
  run(args: Arguments, terminal: Terminal, signal: AbortSignal): Promise<void>;
}
