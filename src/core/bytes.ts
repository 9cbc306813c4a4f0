/** Sizes as people write and read them. */
import { GraftError } from './errors';

/** As GNU tools take them: `G` and `GiB` are powers of 1024, `GB` of 1000. */
const SUFFIXES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  ...{ kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 },
  ...{ k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 },
  ...{ kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
};

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `8GiB`, `8G`, `500 MB` or a plain number to bytes. @throws `bad-config` for anything else */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const unit = SUFFIXES[match?.[2]?.toLowerCase() ?? 'none'];
  if (!match || unit === undefined) {
    throw new GraftError('bad-config', `${JSON.stringify(text)} is not a size: write it as 8GiB, 500MB, or in bytes.`);
  }
  return Math.floor(Number(match[1]) * unit);
}

/** Bytes in the binary unit that reads best, with two decimals, for figures that are compared: `1.50 GiB`. */
export function formatBytes(bytes: number): string {
  return inUnit(bytes, (value) => value.toFixed(2));
}

/** The same with three digits at most, for a glance: `1.5 GiB`, `102 MiB`. */
export function formatSize(bytes: number): string {
  return inUnit(bytes, (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1)));
}

function inUnit(bytes: number, format: (value: number) => string): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return bytes === 1 ? '1 byte' : `${bytes} bytes`;
  return `${format(value)} ${UNITS[unit]}`;
}
