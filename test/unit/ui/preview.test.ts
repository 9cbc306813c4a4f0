/** What the page says of the data that are chosen. */
import { describe, expect, it } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { GraftError } from '../../../src/core/errors';
import type { TrainRequest } from '../../../src/protocol/runs';
import type { Workers } from '../../../src/ui/client/workers';
import { PreviewState } from '../../../src/ui/features/data/preview.svelte';

const model = { kind: 'builtin', name: 'starter' } as const;
const request = (name: string, settings = ''): TrainRequest => ({
  model,
  dataset: dataset(name),
  config: parseRunConfig(settings),
  talk: false,
});
const datasets = new Map<string, TrainRequest['dataset']>();
function dataset(name: string): TrainRequest['dataset'] {
  const known = datasets.get(name) ?? { id: name, name, content: 'builtin' };
  datasets.set(name, known);
  return known;
}

/** Readings of `broken` fail, and all others go on for as long as the test looks. */
function readingWorkers(): Workers {
  const run = (_: string, { dataset: { name } }: TrainRequest) =>
    name === 'broken'
      ? Promise.reject(new GraftError('bad-data', 'broken is not valid JSON.'))
      : new Promise(() => undefined);
  return { run } as unknown as Workers;
}

describe('the preview', () => {
  it('says nothing of data whose reading has just begun', async () => {
    const preview = new PreviewState(readingWorkers());
    preview.follow(request('broken'));
    await expect.poll(() => preview.dataError?.message).toBe('broken is not valid JSON.');
    preview.follow(request('broken', 'learning_rate: 1e-3'));
    expect(preview.dataError?.message).toBe('broken is not valid JSON.'); // until it is read again
    preview.follow(request('good'));
    expect(preview.dataError).toBeUndefined();
  });
});
