import type { RunRecord } from '../../../src/core/library';
import type { FileSource } from '../../../src/core/store';

export function runRecord(id: string, change: Partial<RunRecord> = {}): RunRecord {
  return {
    id,
    name: id,
    createdAt: 1,
    state: 'finished',
    model: { kind: 'builtin', name: 'starter' },
    datasetName: 'd.jsonl',
    step: 0,
    totalSteps: 0,
    checkpointStep: 0,
    summary: null,
    error: null,
    ...change,
  };
}

/** A source of one file, `w`, whose bytes count up. */
export function countingSource(size: number, name = 'm'): FileSource {
  const bytes = Uint8Array.from({ length: size }, (_, i) => i % 251);
  return {
    name,
    list: () => Promise.resolve(['w']),
    size: (file) => Promise.resolve(file === 'w' ? size : undefined),
    read: (_, start = 0, end = size) => Promise.resolve(bytes.slice(start, end)),
  };
}
