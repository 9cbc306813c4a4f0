/** A part in a process of its own, within its time. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import type { Finding, Outcome } from './types';

/** Of the standard error of a part that failed. */
const MOST_ERROR_LINES = 6;

export interface Limits {
  /** Where the part writes its findings, a line of JSON each. */
  readonly file: string;
  /** After which it is killed, with all that it started. */
  readonly seconds: number;
  /** Variables beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs Node with `args` to its end or that of its time, and reads what was found. Never rejects for what a part does. */
export async function runPart(
  name: string,
  args: readonly string[],
  { file, seconds, environment }: Limits,
): Promise<Outcome> {
  rmSync(file, { force: true });
  const began = performance.now();
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...environment },
    // A group of its own, so that what it started ends with it.
    detached: true,
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-4000)));
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, 1000 * seconds);
  const ended = await new Promise<string | undefined>((done) => {
    child.once('error', (error) => done(error.message));
    child.once('close', (code, signal) => done(code === 0 ? undefined : `ended with ${signal ?? `code ${code}`}`));
  });
  clearTimeout(timer);
  const failure = isLate ? `stopped after ${Math.round(seconds)} s` : ended && `${ended}: ${whatWasSaid(errors)}`;
  const findings = readFindings(file);
  return { name, seconds: (performance.now() - began) / 1000, findings, ...(failure && { failure }) };
}

/** The line that names an error, else the last ones. */
function whatWasSaid(errors: string): string {
  const lines = errors.trim().split('\n');
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.slice(-MOST_ERROR_LINES).join(' ');
}

/** The last line of a part that was stopped may be half. */
function readFindings(file: string): Finding[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as Finding];
      } catch {
        return [];
      }
    });
}
