/** What the page knows of this computer: its GPU, and whether the browser promises to keep what is stored. */
import { plainError, type PlainError } from '../../../core/errors';
import type { DeviceReport } from '../../../protocol/device';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { loadSetting, removeSetting, saveSetting } from '../../persisted';

const RATE = 'device-rate';
const TOLD = 'device-error';

/** How fast a GPU was when it was measured. */
interface KeptRate {
  readonly device: string;
  readonly rate: number;
}

export class DeviceState {
  report = $state.raw<DeviceReport>();
  error = $state.raw<PlainError>();
  /** What is said of it: the last error until another look has ended; from the first moment, where it was read at an earlier visit. */
  told = $state.raw<PlainError | null>(loadSetting(TOLD, null, isPlainError));
  /** What is said has a place on the page, as it was there from the first moment or was read; otherwise it lies over the page. */
  hasPlace = $state(this.told !== null);
  /** Undefined until the browser was asked. */
  persisted = $state<boolean>();
  /** Bytes that this page has stored and may store, as the browser estimates them. */
  stored = $state.raw<{ used: number; quota: number }>();

  /** Flops a second of products, once they were measured. */
  rate = $state<number>();
  private readonly measuring: Job<'device.rate'>;

  /** What the GPU is called, once it was found. */
  get name(): string | undefined {
    return this.report && (this.report.description || "This browser doesn't name the GPU");
  }

  constructor(private readonly workers: Workers) {
    this.measuring = new Job(workers, 'device.rate');
  }

  async detect(): Promise<void> {
    this.error = undefined;
    try {
      this.report = await this.workers.gpu.call((worker) => worker.device.report());
      this.told = null;
      this.hasPlace = false;
      removeSetting(TOLD);
      this.watch();
    } catch (error) {
      this.report = undefined;
      this.error = plainError(error);
      this.told = this.error;
      if (this.hasPlace) saveSetting(TOLD, this.told);
    }
  }

  /** What is said was read: it makes room for what it lies over. */
  placeNote(): void {
    this.hasPlace = true;
    saveSetting(TOLD, this.told);
  }

  /** Learns how fast the GPU is: from an earlier visit, or by measuring. Where that fails, nothing is said of it. */
  async findRate(): Promise<void> {
    if (!this.report) return;
    const { vendor, architecture, description } = this.report;
    const device = `${vendor} ${architecture} ${description}`;
    const kept = loadSetting<KeptRate | null>(RATE, null, isKeptRate);
    this.rate = kept?.device === device ? kept.rate : await this.measuring.run(null);
    if (this.rate !== undefined) saveSetting(RATE, { device, rate: this.rate });
  }

  /** Reads the browser's promise without asking for it. */
  async readPersistence(): Promise<void> {
    this.persisted = await navigator.storage?.persisted?.();
  }

  async readStorage(): Promise<void> {
    const { usage, quota } = (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
    this.stored = usage === undefined || quota === undefined ? undefined : { used: usage, quota };
  }

  /** Asks the browser to keep what is stored; it answers by its own rules, and may ask the user. */
  async askToPersist(): Promise<void> {
    this.persisted = await navigator.storage?.persist?.();
  }

  private watch(): void {
    this.workers.gpu
      .call((worker) => worker.device.lost())
      .then(
        () => void this.detect(),
        () => undefined, // the worker ended; whoever ended it says so
      );
  }
}

function isPlainError(value: unknown): value is PlainError | null {
  if (value === null) return true;
  if (typeof value !== 'object') return false;
  const { code, message } = value as Partial<PlainError>;
  return typeof code === 'string' && typeof message === 'string';
}

function isKeptRate(value: unknown): value is KeptRate | null {
  if (value === null) return true;
  if (typeof value !== 'object') return false;
  const { device, rate } = value as Partial<KeptRate>;
  return typeof device === 'string' && typeof rate === 'number' && rate > 0 && Number.isFinite(rate);
}
