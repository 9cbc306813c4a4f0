/** The GPU device, what it can do, and a ledger of every buffer alive on it. */
import { GraftError } from '../core/errors';
import type { KernelCapabilities } from './kernel';
import type { Profiler } from './profile';
import { emptyBytes, memoryPlan } from './plan';
import type { DeviceInfo, DeviceOptions, MemoryBytes, MemoryPlan } from './types';

const WANTED_FEATURES: readonly GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];

/** Every buffer of a session goes through its ledger, so that live bytes can be compared with the plan. */
export class Ledger {
  private readonly alive = new Map<GPUBuffer, { bytes: number; kind: keyof MemoryBytes }>();

  constructor(private readonly device: GPUDevice) {}

  create(kind: keyof MemoryBytes, bytes: number, usage: GPUBufferUsageFlags, label: string): GPUBuffer {
    const buffer = this.device.createBuffer({ size: bytes, usage, label });
    this.alive.set(buffer, { bytes, kind });
    return buffer;
  }

  destroy(buffer: GPUBuffer): void {
    buffer.destroy();
    this.alive.delete(buffer);
  }

  destroyAll(): void {
    for (const buffer of [...this.alive.keys()]) this.destroy(buffer);
  }

  liveBytes(): MemoryPlan {
    const bytes = emptyBytes();
    for (const entry of this.alive.values()) bytes[entry.kind] += entry.bytes;
    return memoryPlan(bytes);
  }
}

export class Device {
  private lostReason: string | undefined;
  /** Resolves with the reason when the device goes away. */
  readonly lost: Promise<string>;
  /** Programs run through it while it is set. */
  profiler: Profiler | undefined;

  private constructor(
    readonly gpu: GPUDevice,
    readonly info: DeviceInfo,
    readonly capabilities: KernelCapabilities,
  ) {
    this.lost = gpu.lost.then((loss) => {
      this.lostReason = loss.message || loss.reason || 'unknown reason';
      return this.lostReason;
    });
  }

  /** Asks for a device with the adapter's own limits. Throws `no-webgpu` where there is none. */
  static async open(gpu: GPU | undefined, options: DeviceOptions = {}): Promise<Device> {
    const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) {
      throw new GraftError(
        'no-webgpu',
        'No WebGPU adapter was found: use a browser with WebGPU (Chrome or Edge 121+, Safari 26, Firefox 141+) with graphics acceleration on.',
      );
    }
    const hidden = new Set(options.withoutFeatures);
    const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name) && !hidden.has(name));
    const limits = adapter.limits;
    const device = await adapter.requestDevice({
      requiredFeatures,
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
        maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
        maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
        maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      },
    });
    const info = adapter.info;
    const software =
      info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${info.description} ${info.device}`);
    const description = info.description || info.device || info.architecture || info.vendor || 'unknown adapter';
    return new Device(
      device,
      {
        vendor: info.vendor,
        architecture: info.architecture,
        description,
        software,
        features: requiredFeatures,
        maxBufferBytes: limits.maxBufferSize,
        maxBindingBytes: limits.maxStorageBufferBindingSize,
      },
      { subgroups: requiredFeatures.includes('subgroups'), f16: requiredFeatures.includes('shader-f16'), software },
    );
  }

  /** Throws `device-lost` once the device is gone. */
  assertAlive(): void {
    if (this.lostReason !== undefined) throw this.lossError(this.lostReason);
  }

  /** Waits for GPU work, or throws `device-lost` when the device goes away meanwhile: a lost device may never answer. */
  async wait<T>(work: Promise<T>): Promise<T> {
    const outcome = await Promise.race([
      work.then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      ),
      this.lost.then((reason) => ({ reason })),
    ]);
    if ('value' in outcome) return outcome.value;
    if ('reason' in outcome) throw this.lossError(outcome.reason);
    // Work fails in the same turn in which the device is lost; give the loss a chance to say why.
    await Promise.resolve();
    this.assertAlive();
    throw outcome.error;
  }

  private lossError(reason: string): GraftError {
    return new GraftError('device-lost', `The GPU device was lost (${reason}): resume from the last checkpoint.`);
  }

  destroy(): void {
    this.gpu.destroy();
  }
}
