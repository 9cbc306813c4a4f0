/** What a run is doing, in words, where it isn't a step. */
import { formatCount } from '../../../core/format';
import { formatTransfer } from '../../format';
import { STOPPING } from './run-words';
import type { TrainingState } from './training.svelte';

/** Each of these is counted as it comes, so that something moves while it takes long. */
export function describeProgress({
  stopping,
  progress,
  phase,
  warmingUp,
}: Pick<TrainingState, 'stopping' | 'progress' | 'phase' | 'warmingUp'>): string {
  if (stopping) return STOPPING;
  if (progress?.unit === 'bytes') return `Loading the weights: ${formatTransfer(progress)}`;
  if (progress) {
    const counted = `${formatCount(progress.loaded)} of ${formatCount(progress.total)}`;
    return progress.unit === 'rows' ? `Reading the data: ${counted} rows` : `Building kernels: ${counted}`;
  }
  return warmingUp ? `${phase}: the first step takes longest` : phase;
}
