/** Loading a model of the stand-in Hub as the command line does, with a cache folder of one's own. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { openingsFolder } from '../../src/cli/opening-folder';
import { hubIdentity, openSource } from '../../src/cli/model-cache';
import { modelSource } from '../../src/cli/sources';
import { FolderBackend } from '../../src/cli/weight-folder';
import { parseRunConfig } from '../../src/core/config';
import type { KeepParameter, LoadStream } from '../../src/core/weights';
import { openEngine, type Engine, type MemoryPlan } from '../../src/engine';
import { planRun, type RunPlan } from '../../src/recipes';
import { loadSession, weightStorageKey } from '../../src/recipes/steps/cached-weights';
import { trainSetup } from '../../src/recipes/steps/options';
import { ShardedWeightCache } from '../../src/storage/weights';
import { testGpu } from './gpu';
import { StandInHub } from './stand-in-hub';

export interface LoadOptions {
  readonly run?: Record<string, string>;
  /** Whether weights are kept; they are. */
  readonly keep?: boolean;
  readonly onProgress?: (loaded: number, total: number) => void;
  /** Called when the model is open and its run planned, before weights are asked for. */
  readonly onPlanned?: (plan: RunPlan) => void;
  readonly signal?: AbortSignal;
}

export interface LoadedModel {
  readonly digest: string;
  readonly lossSum: number;
  readonly plan: MemoryPlan;
  readonly live: MemoryPlan;
}

/** Shards of the cache: a few tensors each. */
export const CACHE_SHARD = 384 * 2 ** 10;

/** A Hub, an engine, and folders that the environment names. */
export class HubBench {
  readonly said: string[] = [];
  private readonly root = mkdtempSync(join(tmpdir(), 'graft-hub-load-'));
  private caches = 0;
  /** The cache folder in use. */
  cache = '';

  private constructor(
    readonly hub: StandInHub,
    private readonly engine: Engine,
  ) {
    this.useCache();
  }

  static async open(): Promise<HubBench> {
    return new HubBench(await StandInHub.start(), await openEngine((await testGpu()).gpu));
  }

  /** Names an empty cache folder, or another one, and returns it. */
  useCache(folder = join(this.root, `cache-${++this.caches}`)): string {
    vi.stubEnv('HF_ENDPOINT', this.hub.url);
    vi.stubEnv('HF_HOME', join(this.root, 'hf'));
    vi.stubEnv('HF_TOKEN', '');
    vi.stubEnv('GRAFT_CACHE', folder);
    this.cache = folder;
    return folder;
  }

  /** A name for one more cache folder. */
  newFolder(): string {
    return join(this.root, `cache-${++this.caches}`);
  }

  /** Opens, plans, loads and computes logits of a few tokens. */
  async load(name: string, options: LoadOptions = {}): Promise<LoadedModel> {
    const say = (line: string) => void this.said.push(line);
    const model = await openSource(await modelSource(name, undefined, say), say);
    const run = parseRunConfig('', { max_length: '32', lora_r: '2', ...options.run });
    const plan = planRun(run, model);
    options.onPlanned?.(plan);
    const { setup, train } = trainSetup(run, model, plan.lengths);
    const cache = {
      weights: new ShardedWeightCache(new FolderBackend(join(this.cache, 'weights')), CACHE_SHARD, CACHE_SHARD),
      openings: openingsFolder(process.env),
      model: hubIdentity(model)!,
      onNotKept: say,
    };
    const { session, digest } = await loadSession(
      { model, storage: weightStorageKey(setup), cache: options.keep === false ? undefined : cache },
      (weights: LoadStream, keep?: KeepParameter) => this.engine.createSession(setup, { train }, weights, keep),
      options.onProgress ?? (() => undefined),
      options.signal,
    );
    try {
      const { plan: planned, liveBytes: live } = session;
      const ids = Array.from({ length: 16 }, (_, i) => (i * 37) % model.spec.vocabSize);
      const { lossSum } = await session.views.train.evaluate({ inputIds: [ids], labels: [ids] });
      return { digest, lossSum, plan: planned, live };
    } finally {
      session.dispose();
    }
  }

  /** Every file under the cache folder, but for notes of what branches were. */
  kept(): string[] {
    if (!existsSync(this.cache)) return [];
    const found = readdirSync(this.cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return found.map(({ name }) => name).filter((name) => !name.startsWith('revision-'));
  }

  async close(): Promise<void> {
    vi.unstubAllEnvs();
    this.engine.destroy();
    await this.hub.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}
