/** A program that serves a model: found on PATH, started, waited for, stopped. */
import { spawn, type ChildProcess } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GraftError, throwIfCancelled } from '../core/errors';

/** Lines of what a program said that are shown where it fails. */
const SHOWN_LINES = 6;
/** Milliseconds between two looks at whether it is ready; for which it may take to end before it is killed. */
const LOOK = 200;
const GRACE = 5000;

/** The path of a program, or undefined where none of the folders of PATH has it. */
export async function findProgram(name: string, path = process.env['PATH'] ?? ''): Promise<string | undefined> {
  const names = process.platform === 'win32' ? [`${name}.exe`, name] : [name];
  for (const folder of path.split(delimiter).filter((entry) => entry !== '')) {
    for (const file of names.map((entry) => join(folder, entry))) {
      if (
        await access(file, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        return file;
    }
  }
  return undefined;
}

/** The first port from `from` on that is free; of so many that are tried. */
export async function freePort(from: number, count = 100): Promise<number> {
  for (let port = from; port < from + count; port++) {
    const isFree = await new Promise<boolean>((done) => {
      const server = createServer().once('error', () => done(false));
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(true)));
    });
    if (isFree) return port;
  }
  const busy = count === 1 ? `Port ${from} is not free` : `No port from ${from} to ${from + count - 1} is free`;
  throw new GraftError('storage', `${busy}: name another with --port.`);
}

/** A program that runs until it is stopped. */
export class ModelServer {
  private readonly child: ChildProcess;
  private said = '';
  private failure: string | undefined;
  /** Resolves once it has ended, by itself or not. */
  readonly ended: Promise<void>;

  constructor(
    readonly name: string,
    path: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ) {
    this.child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.said = `${this.said}${text}`.slice(-8192)));
    }
    this.ended = new Promise((done) => {
      this.child.on('error', (error) => {
        this.failure = `can't be started: ${error.message}`;
        done();
      });
      this.child.on('close', (code, killedBy) => {
        this.failure ??= killedBy === null ? `ended with ${code}` : `was ended by ${killedBy}`;
        done();
      });
    });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Waits until `isReady`. @throws `storage` with what the program said where it ends before */
  async waitUntil(isReady: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    while (!(await isReady().catch(() => false))) {
      await Promise.race([sleep(LOOK), this.ended]);
      throwIfCancelled(signal);
      if (this.failure !== undefined) throw this.refusal();
    }
  }

  /** Waits until it ends by itself, or `signal` comes. @throws `storage` where it ends by itself with a failure */
  async watch(signal: AbortSignal): Promise<void> {
    const stopped = new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
    await Promise.race([this.ended, stopped]);
    throwIfCancelled(signal);
    throw this.refusal();
  }

  /** @throws `storage` where it ends with anything but 0 */
  async finish(signal: AbortSignal): Promise<void> {
    await Promise.race([this.ended, new Promise((done) => signal.addEventListener('abort', done, { once: true }))]);
    throwIfCancelled(signal);
    if (this.failure !== 'ended with 0') throw this.refusal();
  }

  /** Ends the program, and waits until it has. */
  async stop(): Promise<void> {
    if (this.failure !== undefined) return;
    this.child.kill('SIGTERM');
    const inTime = await Promise.race([this.ended.then(() => true), sleep(GRACE, false, { ref: false })]);
    if (!inTime) this.child.kill('SIGKILL');
    await this.ended;
  }

  private refusal(): GraftError {
    const lines = this.said.trim().split('\n').slice(-SHOWN_LINES).join(' | ');
    return new GraftError('storage', `${this.name} ${this.failure}${lines === '' ? '.' : `; it said: ${lines}`}`);
  }
}
