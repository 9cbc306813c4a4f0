import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runCommandLine } from '../../../src/cli/run';
import type { FileSource } from '../../../src/core/store';

/** The program as `npx graft` runs it. */
const PROGRAM = resolve('dist/cli/graft.js');

export interface Ended {
  readonly code: number | null;
  readonly killedBy: string | null;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/**
 * Starts the built command line; `onLine` gets each whole line of its standard output, `environment` is added to this
 * process's. `program` is what runs the file.
 */
export function startGraft(
  argv: readonly string[],
  onLine: (line: string) => void = () => undefined,
  environment: NodeJS.ProcessEnv = {},
  program: readonly [string, ...string[]] = [process.execPath],
): Started {
  if (!existsSync(PROGRAM)) throw new Error('There is no dist/cli/graft.js: run `npm run build` first.');
  const env = { ...process.env, ...environment };
  const [command, ...before] = program;
  const child = spawn(command, [...before, PROGRAM, ...argv], { stdio: ['pipe', 'pipe', 'pipe'], env });
  let out = '';
  let err = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(onLine);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = new Promise<Ended>((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, killedBy) => done({ code, killedBy, out, err }));
  });
  return { child, ended };
}

/** Runs the built command line to its end. */
export function graft(...argv: string[]): Promise<Ended> {
  return startGraft(argv).ended;
}

/** The lines of JSON that a command with `--json` printed. */
export function jsonLines<T>(out: string): T[] {
  return out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

export async function writeFolder(path: string, source: FileSource): Promise<string> {
  mkdirSync(path, { recursive: true });
  for (const file of await source.list()) writeFileSync(join(path, file), await source.read(file));
  return path;
}

/** Runs a command within this process, from the sources. */
export async function runHere(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const texts = { out: '', err: '' };
  const collect = (name: keyof typeof texts) => ({ write: (text: string) => (texts[name] += text) });
  const code = await runCommandLine(argv, collect('out'), collect('err'), new AbortController().signal);
  return { code, ...texts };
}
