/**
 * Named pipes. Opening one waits for whoever writes to it, on a thread without which the process can't end: whoever stops
 * waiting has to let that thread go.
 */
import { closeSync, constants, open, openSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { throwIfCancelled } from '../core/errors';

/** What a named pipe gives, once somebody writes to it. Throws what the system says, and `cancelled`. */
export async function openFifo(path: string, signal: AbortSignal): Promise<Readable> {
  throwIfCancelled(signal);
  let ownEnd: number | undefined;
  let trying: NodeJS.Timeout | undefined;
  const letGo = () => {
    ownEnd ??= openToWrite(path);
    trying ??= setInterval(letGo, RETRY_MS);
  };
  signal.addEventListener('abort', letGo, { once: true });
  try {
    const reading = await promisify(open)(path, 'r');
    if (signal.aborted) closeSync(reading);
    throwIfCancelled(signal);
    // It waits for what comes without a thread.
    return new Socket({ fd: reading, readable: true, writable: false });
  } finally {
    signal.removeEventListener('abort', letGo);
    clearInterval(trying);
    if (ownEnd !== undefined) closeSync(ownEnd);
  }
}

/** The thread may not have come to its waiting yet. */
const RETRY_MS = 20;

/** The end that a reader waits for; undefined where it may not be written to, or nobody waits. */
function openToWrite(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
