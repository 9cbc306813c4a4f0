/** Numbers as the page shows them. */
import { formatSize } from '../core/bytes';
import { formatCount } from '../core/format';
import type { Transfer } from './client/transfer';

export { formatSize };

/** 1234567 as `1.2M`: for parameter counts. */
export function formatMillions(n: number): string {
  if (n >= 999.5e6) return `${trimmed(n / 1e9)}B`;
  if (n >= 1e6) return `${trimmed(n / 1e6)}M`;
  if (n >= 1e4) return `${trimmed(n / 1e3)}K`;
  return formatCount(n);
}

/** 95 seconds as `1 min 35 s`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** A duration that was not measured: `20 s`, `3 min`, `2 h`. */
export function formatRoughly(seconds: number): string {
  if (seconds < 57.5) return `${Math.max(5, 5 * Math.round(seconds / 5))} s`;
  if (seconds < 5400) return `${Math.max(1, Math.round(seconds / 60))} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** `102 MiB of 257 MiB, 11.9 MiB a second, 13 s left`. */
export function formatTransfer({ loaded, total, rate }: Transfer): string {
  const amount = `${formatSize(loaded)} of ${formatSize(total)}`;
  if (!rate) return amount;
  return `${amount}, ${formatSize(Math.round(rate))} a second, ${formatDuration((total - loaded) / rate)} left`;
}

/** A loss or a norm: four digits that matter. */
export function formatLoss(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  return value >= 1000 ? value.toExponential(2) : value.toFixed(value >= 100 ? 1 : value >= 10 ? 2 : 3);
}

/** A learning rate: `4.00e-3`. */
export function formatRate(value: number | undefined): string {
  if (value === undefined) return '–';
  return value === 0 ? '0' : value.toExponential(2);
}

/** 0.913 as `91.3 %`. */
export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(share === 0 || share === 1 ? 0 : 1)} %`;
}

export function formatDate(milliseconds: number): string {
  return new Date(milliseconds).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}

function trimmed(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, '');
}
