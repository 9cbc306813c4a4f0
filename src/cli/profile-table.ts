/** What `graft train --profile` prints: time by kernel, then the slowest by kernel and shapes. */
import { byKernel, clockNote, type KernelTime, type Profile } from '../core/profile';

/** Rows of the second table. */
const DETAILS = 16;

const RATES = ['calls', 'ms', 'share', 'GFLOP/s', 'GB/s'];

export function profileTable(profile: Profile, step: number): string {
  const kernels = table(
    ['kernel', ...RATES],
    byKernel(profile).map(({ kernel, ...time }) => [kernel, ...rates(time)]),
  );
  const details = profile.kernels
    .slice(0, DETAILS)
    .map(({ kernel, variant, shapes, ...time }) => [[kernel, variant].join(' '), shapes, ...rates(time)]);
  return [
    `Step ${step}: ${profile.milliseconds.toFixed(1)} ms in kernels. ${clockNote(profile)}`,
    kernels,
    `The slowest of ${profile.kernels.length} by specialisation and shapes:`,
    table(['kernel', 'shapes', ...RATES], details),
    ...differingNote(profile),
    '',
  ].join('\n\n');
}

function differingNote({ differing = [] }: Profile): string[] {
  if (differing.length === 0) return [];
  return [`Left out, as they write other bits on this device:\n${differing.join('\n')}`];
}

function rates({ calls, milliseconds, share, flops, bytes }: Omit<KernelTime, 'kernel' | 'variant' | 'shapes'>) {
  const rate = (amount: number) => (milliseconds > 0 ? (amount / milliseconds / 1e6).toPrecision(3) : '');
  return [String(calls), milliseconds.toFixed(2), `${(100 * share).toFixed(1)} %`, rate(flops), rate(bytes)];
}

/** Columns of even width: names to the left, numbers to the right. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((cells) => cells[column]!.length)));
  const names = header.length - RATES.length;
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i < names ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return all.map(line).join('\n');
}
