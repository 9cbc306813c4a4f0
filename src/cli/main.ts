#!/usr/bin/env node
import { runCommandLine } from './run';
import { SafeOutput } from './standard-output';
import { Terminal } from './terminal';

/** The first Ctrl-C asks the command to stop and keep what it has; the second ends the process. */
const controller = new AbortController();
const out = new SafeOutput(process.stdout);
// A reader of messages that leaves (`2>&1 | head`) takes nothing from the work.
const err = new SafeOutput(process.stderr);
let exitCode = 130;
// A plan is computed in one go and has nothing to keep: no listener could run meanwhile, and without one the signal ends it.
const signals =
  process.argv[2] === 'plan'
    ? []
    : ([
        ['SIGINT', 130],
        ['SIGTERM', 143],
      ] as const);
for (const [signal, code] of signals) {
  process.on(signal, () => {
    if (controller.signal.aborted) endAtOnce(signal);
    exitCode = code;
    controller.abort();
  });
}

/** By the signal itself: to exit, Node waits for its threads, and one may wait for a file that never comes. */
function endAtOnce(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

let code: number;
try {
  code = await runCommandLine(process.argv.slice(2), out, err, controller.signal);
  if (code === 130) code = exitCode;
} catch (error) {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const message = `this is a bug in Graft, please report it.\n${stack}`;
  new Terminal(out, err, process.argv.includes('--json')).fail('internal', message);
  code = 70;
}
await Promise.all([out.flush(), err.flush()]);
// Dawn keeps threads of its own, so the process wouldn't end by itself.
process.exit(code);
