/** What a bench found, as a table for people and as JSON for programs. */

export type Unit = 'GFLOP/s' | 'GB/s' | 'tokens/s' | 's' | 'MiB' | '%' | '×';

export interface Row {
  /** `ceiling`, `kernel`, `step`, `peer`. */
  readonly group: string;
  readonly name: string;
  readonly model?: string;
  readonly dtype?: string;
  readonly shape?: string;
  readonly value?: number;
  readonly unit?: Unit;
  /** Milliseconds of one run, the median. */
  readonly milliseconds?: number;
  /** Share of this run's ceiling for such work, 0 to 1. */
  readonly ofCeiling?: number;
  /** Relative error against the reference, by norm; a row whose result is wrong fails instead. */
  readonly error?: number;
  readonly target?: string;
  readonly note?: string;
  /** Why there is no value. */
  readonly skipped?: string;
}

const COLUMNS: readonly [string, (row: Row) => string][] = [
  ['bench', ({ group, name }) => `${group} ${name}`],
  ['model', ({ model }) => model ?? ''],
  ['type', ({ dtype }) => dtype ?? ''],
  ['shape', ({ shape }) => shape ?? ''],
  ['value', ({ value }) => (value === undefined ? '–' : value.toPrecision(value >= 1000 ? 4 : 3))],
  ['unit', ({ unit }) => unit ?? ''],
  ['ms', ({ milliseconds }) => milliseconds?.toPrecision(3) ?? ''],
  ['of ceiling', ({ ofCeiling }) => (ofCeiling === undefined ? '' : `${(100 * ofCeiling).toFixed(0)} %`)],
  ['error', ({ error }) => error?.toExponential(0) ?? ''],
  ['target', ({ target }) => target ?? ''],
  ['', ({ note, skipped }) => skipped ?? note ?? ''],
];
const WIDTHS = [32, 13, 10, 27, 7, 8, 7, 10, 6, 7, 0];

export function header(): string {
  return COLUMNS.map(([title], i) => title.padEnd(WIDTHS[i]!))
    .join(' ')
    .trimEnd();
}

/** A line as soon as it is measured: columns have fixed widths. */
export function line(row: Row): string {
  return COLUMNS.map(([, cell], i) => cell(row).padEnd(WIDTHS[i]!))
    .join(' ')
    .trimEnd();
}
