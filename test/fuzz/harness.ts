/**
 * Fuzzing of one parser: every input is read, or refused with a code and in one sentence, soon, in little memory, and
 * without a trace on `Object.prototype`. `GRAFT_FUZZ_INPUTS` says how many inputs a parser gets, `GRAFT_FUZZ_SEED` which,
 * and `GRAFT_FUZZ_ONLY` the number of the one to try again; `npm test -- fuzz` tries ten thousand.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GraftError } from '../../src/core/errors';
import { Random } from './random';

export const INPUTS = Number(process.env['GRAFT_FUZZ_INPUTS'] ?? 500);
export const SEED = Number(process.env['GRAFT_FUZZ_SEED'] ?? 1);
const ONLY = process.env['GRAFT_FUZZ_ONLY'];

/** Most time that one input may take of the processor, in milliseconds; other work on the machine doesn't count. */
const LIMIT_MS = 1000;
/** After so long an input hangs, and the process is ended with its number. */
const HANGS_MS = 60_000;
/** Most memory by which one input may make the process grow, in bytes. */
const LIMIT_BYTES = 256 * 2 ** 20;
/** Most characters of a message: a sentence, not the file. */
const LIMIT_MESSAGE = 1500;
/** A parser is tried until so many kinds of faults are found. */
const MOST_FINDS = 8;
/** Lines of an error's trace that tell where it arose. */
const TRACE_LINES = 6;

/** Where inputs that fail are kept, to be looked at. */
const FINDS = join(import.meta.dirname, '../results/fuzz');

export interface Fuzzed<I> {
  /** Makes an input of random choices: a good one, broken. */
  make(random: Random): I;
  /** Reads it. What it gives isn't looked at: only that it ends, and how. */
  read(input: I): unknown;
  /** The bytes of an input as they are kept where it fails; JSON of it by default. */
  bytes?(input: I): Uint8Array | string;
  /** Of inputs, which part at least must be read rather than refused, so that what comes after the first check is tried. */
  readable?: number;
}

/** The tests of a parser, under its name. */
export function fuzz<I>(name: string, parser: Fuzzed<I> | (() => Fuzzed<I> | Promise<Fuzzed<I>>)): void {
  describe(name, () => {
    let fuzzed: Fuzzed<I>;
    const watchdog = new Watchdog(name);
    beforeAll(async () => {
      fuzzed = typeof parser === 'function' ? await parser() : parser;
    });
    afterAll(() => watchdog.stop());
    it(`reads or refuses ${INPUTS} made-up inputs of seed ${SEED}`, { timeout: 3_600_000 }, async () => {
      let read = 0;
      // The first input of each kind of fault.
      const finds = new Map<string, string>();
      for (let i = 0; i < INPUTS && finds.size < MOST_FINDS; i++) {
        if (ONLY !== undefined && i !== Number(ONLY)) continue;
        const input = fuzzed.make(new Random(SEED, name, i));
        watchdog.begin(i);
        const { fault, isRead } = await tryInput(() => fuzzed.read(input));
        if (isRead) read++;
        if (fault === undefined) continue;
        const kind = fault.replace(/\d+/g, '');
        if (finds.has(kind)) continue;
        const path = keepInput(name, i, fuzzed.bytes?.(input) ?? JSON.stringify(input));
        finds.set(kind, `input ${i}: ${fault}\n    kept as ${path}`);
      }
      watchdog.end();
      if (finds.size > 0) expect.fail(`${name}, seed ${SEED}:\n${[...finds.values()].join('\n')}`);
      const least = (fuzzed.readable ?? 0) * INPUTS;
      if (ONLY === undefined && read < least)
        throw new Error(
          `${name}: only ${read} of ${INPUTS} inputs were read, fewer than ${least}: they break too early.`,
        );
    });
  });
}

/** What is wrong with how reading ends, or nothing. */
async function tryInput(read: () => unknown): Promise<{ fault?: string; isRead: boolean }> {
  const memory = process.memoryUsage.rss();
  const begin = process.cpuUsage();
  let error: unknown;
  let isRead = false;
  try {
    await read();
    isRead = true;
  } catch (thrown) {
    error = thrown;
  }
  const { user, system } = process.cpuUsage(begin);
  const milliseconds = (user + system) / 1000;
  const grown = process.memoryUsage.rss() - memory;
  const polluted = removePollution();
  if (polluted.length > 0) return { isRead, fault: `Object.prototype has got ${polluted.join(', ')}` };
  if (milliseconds > LIMIT_MS) return { isRead, fault: `took ${Math.round(milliseconds)} ms` };
  if (grown > LIMIT_BYTES) return { isRead, fault: `took ${Math.round(grown / 2 ** 20)} MiB` };
  const fault = isRead ? undefined : faultOf(error);
  return fault === undefined ? { isRead } : { isRead, fault };
}

/** What an error lacks to be one sentence for the person who reads it. */
function faultOf(error: unknown): string | undefined {
  if (!(error instanceof GraftError)) {
    const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `threw ${trace.split('\n').slice(0, TRACE_LINES).join('\n')}`;
  }
  const { message } = error;
  if (message.trim() === '' || /[\n\r]/.test(message))
    return `its message isn't one line: ${JSON.stringify(message.slice(0, 300))}`;
  return message.length > LIMIT_MESSAGE
    ? `its message has ${message.length} characters: ${message.slice(0, 200)}…`
    : undefined;
}

const OBJECT_KEYS = new Set(Reflect.ownKeys(Object.prototype));

/** What somebody added to every object; it is taken away again. */
function removePollution(): string[] {
  const added = Reflect.ownKeys(Object.prototype).filter((key) => !OBJECT_KEYS.has(key));
  for (const key of added) Reflect.deleteProperty(Object.prototype, key);
  return added.map(String);
}

function keepInput(name: string, index: number, bytes: Uint8Array | string): string {
  mkdirSync(FINDS, { recursive: true });
  const path = join(FINDS, `${name.replace(/\W+/g, '-')}-${SEED}-${index}`);
  writeFileSync(path, bytes);
  return path;
}

/**
 * Ends the process where an input hangs: what never returns can be stopped from another thread only, and the test's own
 * time limit needs this one.
 */
class Watchdog {
  /** The number of the input that is being read, or -1, and how many have begun. */
  private readonly state = new Int32Array(new SharedArrayBuffer(8));
  private readonly worker: Worker;

  constructor(name: string) {
    this.end();
    this.worker = new Worker(WATCH, {
      eval: true,
      workerData: { state: this.state, name, seed: SEED, limit: HANGS_MS },
    });
    this.worker.unref();
  }

  begin(index: number): void {
    Atomics.store(this.state, 0, index);
    Atomics.add(this.state, 1, 1);
  }

  end(): void {
    Atomics.store(this.state, 0, -1);
    Atomics.add(this.state, 1, 1);
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }
}

const WATCH = `
const { workerData: { state, name, seed, limit } } = require('node:worker_threads');
const { writeSync } = require('node:fs');
let count = -1;
setInterval(() => {
  const begun = Atomics.load(state, 1);
  if (begun === count && Atomics.load(state, 0) >= 0) {
    writeSync(2, '\\n' + name + ' hangs on input ' + Atomics.load(state, 0) + ' of seed ' + seed + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }
  count = begun;
}, limit);
`;
