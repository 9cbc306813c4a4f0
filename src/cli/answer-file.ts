/** Where `graft generate --input` puts its answers: each as it is done, so that a run that ends early keeps what it has. */
import { closeSync, existsSync, ftruncateSync, openSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { GraftError } from '../core/errors';
import { formatCount, plural } from '../core/format';
import { makeFolder, reason } from './disk';
import type { Terminal } from './terminal';

/** Rows without an answer that are named one by one. */
const MOST_NAMED = 20;

export class AnswerFile {
  private handle: number | undefined;
  private written = 0;
  /** Of whole rows in the file. */
  private bytes = 0;
  private refused = 0;

  /**
   * `path` is the file; without one, rows go to standard output. A file of that name is replaced at the first row, where
   * that was asked for. @throws `bad-config` where it holds something and may not be replaced
   */
  constructor(
    private readonly path: string | undefined,
    private readonly terminal: Terminal,
    mayReplace = false,
  ) {
    if (path === undefined || mayReplace) return;
    const found = existsSync(path) ? statSync(path) : undefined;
    if (!found?.isFile() || found.size === 0) return; // a pipe or a device is written to as it is
    throw new GraftError(
      'bad-config',
      `${path} is there already: --overwrite replaces it, --output FILE writes elsewhere.`,
    );
  }

  /** @throws `storage` where the file can't be written */
  add(row: object): void {
    const line = `${JSON.stringify(row)}\n`;
    if (this.path === undefined) this.terminal.print(line);
    else this.append(this.path, line);
    this.terminal.emit(row);
    this.written++;
  }

  /** Says why a row has no answer; the others go on. */
  refuse(reason: string): void {
    this.refused++;
    if (this.refused <= MOST_NAMED) this.terminal.say(reason);
    this.terminal.emit({ kind: 'error', code: 'bad-data', message: reason });
  }

  /** Says what came of it. @throws `bad-data` where rows have no answer */
  finish(): void {
    this.terminal.hideBar();
    this.close();
    if (this.refused > 0) {
      const unnamed = this.refused > MOST_NAMED ? ` (the first ${MOST_NAMED} are named above)` : '';
      const place = this.path === undefined ? 'answered' : `in ${this.path}`;
      const others = `the other ${formatCount(this.written)} ${this.written === 1 ? 'is' : 'are'} ${place}`;
      const rest = this.written === 0 ? 'there is no other' : others;
      throw new GraftError('bad-data', `${plural(this.refused, 'row')} can't be answered${unnamed}; ${rest}.`);
    }
    if (this.path !== undefined)
      this.terminal.say(`${plural(this.written, 'answer')} ${this.written === 1 ? 'is' : 'are'} in ${this.path}`);
  }

  close(): void {
    if (this.handle !== undefined) closeSync(this.handle);
    this.handle = undefined;
  }

  /** Takes away what was written of a row that didn't fit. */
  private cutOff(): void {
    try {
      if (this.handle !== undefined) ftruncateSync(this.handle, this.bytes);
    } catch {
      // It is a pipe, or gone: the error that led here is said.
    }
  }

  /** A row at a time, whole: a kill leaves whole rows. */
  private append(path: string, line: string): void {
    try {
      if (this.handle === undefined) {
        makeFolder(dirname(path));
        this.handle = openSync(path, 'w');
      }
      writeFileSync(this.handle, line);
      this.bytes += Buffer.byteLength(line);
    } catch (cause) {
      this.cutOff();
      if (cause instanceof GraftError) throw cause; // its folder
      const done = this.written === 0 ? '' : ` The ${plural(this.written, 'answer')} before it are there.`;
      throw new GraftError('storage', `${path} can't be written: ${reason(cause)}.${done}`, { cause });
    }
  }
}
