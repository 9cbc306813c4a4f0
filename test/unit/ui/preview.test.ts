/** What the page says of the data that are chosen. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { GraftError } from '../../../src/core/errors';
import type { DataReport } from '../../../src/core/events';
import type { CutRowsEvent } from '../../../src/protocol/data';
import type { CommonEvent } from '../../../src/protocol/jobs';
import type { PlanReport } from '../../../src/protocol/plan';
import type { TrainRequest } from '../../../src/protocol/runs';
import type { Workers } from '../../../src/ui/client/workers';
import { PreviewState } from '../../../src/ui/features/data/preview.svelte';
import { DatasetState } from '../../../src/ui/features/data/dataset.svelte';
import { HoldOutState } from '../../../src/ui/features/runs/hold-out.svelte';
import { RecipeState } from '../../../src/ui/features/runs/recipe.svelte';

afterEach(() => vi.useRealTimers());

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

  it('shows nothing of other data for these, from the moment that they are chosen, and how far they are read', async () => {
    vi.useFakeTimers();
    const workers = new WorkersByHand();
    const preview = new PreviewState(workers.asWorkers);
    const holdOut = new HoldOutState(
      new RecipeState(() => ({ parameters: 2e6, maxPositions: 512, isOnHub: false, rows: 40, longest: 9 })),
      preview,
      new DatasetState(workers.asWorkers),
    );
    preview.follow(request('faq'));
    await vi.advanceTimersByTimeAsync(200);
    await workers.read(40);
    expect(preview.report?.kept).toBe(40);
    expect(preview.plan?.totalSteps).toBe(30);
    expect(holdOut.rows).toBe(40);

    preview.follow(request('large'));
    expect(preview.outdated).toBe(true);
    expect(preview.plan).toBeUndefined();
    expect(holdOut.rows).toBeUndefined();
    await vi.advanceTimersByTimeAsync(200);
    workers.tell({ kind: 'progress', done: 500, total: 20_000, unit: 'rows' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(preview.reading).toBe(true);
    expect(preview.progress).toMatchObject({ loaded: 500, total: 20_000 });
    expect(preview.outdated).toBe(true);
    await workers.read(20_000);
    expect([preview.outdated, preview.reading, preview.report?.kept]).toEqual([false, false, 20_000]);
  });

  it('asks for a first change at once, and waits where more come', async () => {
    vi.useFakeTimers();
    const asked: number[] = [];
    const run = (kind: string, { config }: TrainRequest) => {
      if (kind === 'data.inspect') asked.push(config.lora_r);
      return new Promise(() => undefined);
    };
    const preview = new PreviewState({ run } as unknown as Workers);
    let stop = preview.follow(request('faq', 'lora_r: 1'));
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([1]);
    for (const rank of [2, 3, 4]) {
      stop();
      stop = preview.follow(request('faq', `lora_r: ${rank}`));
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(asked).toEqual([1]);
    await vi.advanceTimersByTimeAsync(200);
    expect(asked).toEqual([1, 4]);
  });

  it('tells how long rows are that are cut before anything to train on, for a limit that fits', async () => {
    vi.useFakeTimers();
    const workers = new WorkersByHand();
    const preview = new PreviewState(workers.asWorkers);
    preview.follow(request('long'));
    await vi.advanceTimersByTimeAsync(200);
    workers.tell({ kind: 'cut', longest: 900 });
    expect(preview.longest).toBe(900);
    expect(preview.report).toBeUndefined();
  });

  it('stands while settings change that read the data in the same way', async () => {
    vi.useFakeTimers();
    const workers = new WorkersByHand();
    const preview = new PreviewState(workers.asWorkers);
    preview.follow(request('faq'));
    await vi.advanceTimersByTimeAsync(200);
    await workers.read(40);
    preview.follow(request('faq', 'learning_rate: 1e-3'));
    expect([preview.outdated, preview.plan?.totalSteps]).toEqual([false, 30]);
    expect(preview.hasRead(request('faq', 'learning_rate: 1e-3'))).toBe(true); // it may be started
    expect(preview.hasRead(request('other'))).toBe(false);
    // The worker may take its time: unless rows are counted, nothing is read.
    await vi.advanceTimersByTimeAsync(1000);
    expect(preview.reading).toBe(false);
    workers.tell({ kind: 'progress', done: 10, total: 40, unit: 'rows' });
    expect(preview.reading).toBe(true);
    await workers.read(40);
    expect(preview.reading).toBe(false);
    preview.follow(request('other'));
    expect(preview.outdated).toBe(true);
    preview.follow(request('faq')); // back before anything was read
    expect(preview.outdated).toBe(false);
  });
});

/** Readings that go on until the test ends them. */
class WorkersByHand {
  private onEvent: (event: CommonEvent | CutRowsEvent) => void = () => undefined;
  private end: (report: DataReport) => void = () => undefined;

  get asWorkers(): Workers {
    return { run: this.run.bind(this) } as unknown as Workers;
  }

  private run(kind: string, _: unknown, { onEvent }: { onEvent: WorkersByHand['onEvent'] }): Promise<unknown> {
    if (kind === 'plan.run') return Promise.resolve({ totalSteps: 30 } as PlanReport);
    if (kind !== 'data.inspect') return Promise.resolve([]);
    this.onEvent = onEvent;
    return new Promise((resolve) => (this.end = resolve));
  }

  tell(event: CommonEvent | CutRowsEvent): void {
    this.onEvent(event);
  }

  async read(rows: number): Promise<void> {
    this.end({ rows, kept: rows, longest: 9, examples: [] } as unknown as DataReport);
    await vi.advanceTimersByTimeAsync(0);
  }
}
