#!/usr/bin/env node
import { runCommandLine } from './run';

/** The first Ctrl-C asks the command to stop and keep what it has; the second ends the process. */
const controller = new AbortController();
let exitCode = 130;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    if (controller.signal.aborted) process.exit(code);
    exitCode = code;
    process.stderr.write('\nStopping; once more stops at once.\n');
    controller.abort();
  });
}

// A reader that has seen enough (`graft … | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

/** Waits until what was written is out: pipes are written in the background. */
function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}

let code: number;
try {
  code = await runCommandLine(process.argv.slice(2), process.stdout, process.stderr, controller.signal);
  if (code === 130) code = exitCode;
} catch (error) {
  process.stderr.write(
    `graft: this is a bug in Graft, please report it.\n${error instanceof Error ? error.stack : String(error)}\n`,
  );
  code = 70;
}
await Promise.all([flush(process.stdout), flush(process.stderr)]);
// Dawn keeps threads of its own, so the process wouldn't end by itself.
process.exit(code);
