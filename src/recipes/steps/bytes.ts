/** Sizes as people write and read them. */
import { GraftError } from '../../core/errors';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** `8GiB`, `500 MB` or a plain number to bytes. Throws `bad-config` for anything else. */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const unit = UNITS[match?.[2]?.toLowerCase() ?? 'none'];
  if (!match || unit === undefined) {
    throw new GraftError('bad-config', `${JSON.stringify(text)} is not a size: write it as 8GiB, 500MB, or in bytes.`);
  }
  return Math.floor(Number(match[1]) * unit);
}

/** Bytes in the binary unit that reads best: `1.50 GiB`. */
export function formatBytes(bytes: number): string {
  for (const [name, unit] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(2)} ${name}`;
  }
  return `${bytes} bytes`;
}
