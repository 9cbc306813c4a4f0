/**
 * The dataset that was read last, for as long as content, model and the settings that matter for reading stay the
 * same: another learning rate reads nothing anew. All who ask for one reading share it, and when the last of them gives
 * up, it is stopped.
 */
import { throwIfCancelled } from '../../src/core/errors';
import type { ReadData } from '../../src/recipes';
import { orCancelled } from '../jobs/jobs';

type Report = (rows: number, totalRows: number) => void;

interface Reading {
  readonly key: string;
  readonly data: Promise<ReadData>;
  readonly controller: AbortController;
  readonly reports: Set<Report>;
  askers: number;
  isDone: boolean;
}

export class Readings {
  private held: Reading | undefined;

  /** Whether all of it has been read under this key, and is still here. */
  has(key: string): boolean {
    return this.held?.key === key && this.held.isDone;
  }

  /**
   * What `make` gives under this key, made at most once.
   * @throws `cancelled` when `signal` is aborted, and what `make` throws, which is not kept
   */
  async get(
    key: string,
    make: (report: Report, signal: AbortSignal) => Promise<ReadData>,
    report: Report = () => undefined,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<ReadData> {
    throwIfCancelled(signal);
    const reading = this.held?.key === key ? this.held : this.start(key, make);
    reading.askers++;
    reading.reports.add(report);
    try {
      return await orCancelled(reading.data, signal);
    } finally {
      reading.reports.delete(report);
      if (--reading.askers === 0 && !reading.isDone) {
        if (this.held === reading) this.held = undefined;
        reading.controller.abort();
      }
    }
  }

  private start(key: string, make: (report: Report, signal: AbortSignal) => Promise<ReadData>): Reading {
    const controller = new AbortController();
    const reports = new Set<Report>();
    const tell: Report = (rows, totalRows) => reports.forEach((report) => report(rows, totalRows));
    const reading: Reading = {
      key,
      data: make(tell, controller.signal),
      controller,
      reports,
      askers: 0,
      isDone: false,
    };
    this.held = reading;
    reading.data.then(
      () => (reading.isDone = true),
      () => {
        if (this.held === reading) this.held = undefined;
      },
    );
    return reading;
  }
}
