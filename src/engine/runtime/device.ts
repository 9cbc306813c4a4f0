/** The GPU device: what it can do, and what becomes of work that fails. */
import { GraftError } from '../../core/errors';
import { VERSION } from '../../core/version';
import type { KernelCapabilities } from '../graph/kernel';
import { BINDING_BYTES } from '../compile/parts';
import type { DeviceInfo, DeviceOptions } from '../types';

const WANTED_FEATURES: readonly GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];

/** Limits that are asked for as high as the adapter has them. */
const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxStorageBuffersPerShaderStage',
] as const;

/** How long an adapter may take to come back after a loss, in milliseconds: a browser starts a new GPU process. */
const RETURN_MS = 5000;

const NO_ADAPTER =
  'No WebGPU adapter was found: use a browser with WebGPU (Chrome or Edge 121+, Safari 26, Firefox 141+) with graphics acceleration on.';

const NO_LONGER =
  'WebGPU is gone since the GPU device was lost, as browsers switch it off after repeated crashes: close the browser and open it again.';

/** The adapter to use, asked for again with growing pauses until `patience` milliseconds have passed. */
async function findAdapter(gpu: GPU | undefined, patience: number): Promise<GPUAdapter | null | undefined> {
  const began = performance.now();
  for (let pause = 50; ; pause *= 2) {
    const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
    if (adapter || performance.now() - began + pause > patience) return adapter;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

export class Device {
  private lostReason: string | undefined;
  private failure: GPUError | undefined;
  /** Resolves with the reason when the device goes away. */
  readonly lost: Promise<string>;

  private constructor(
    readonly gpu: GPUDevice,
    readonly info: DeviceInfo,
    readonly capabilities: KernelCapabilities,
    /** Tells adapters, their settings and versions of Graft apart. */
    readonly identity: string,
  ) {
    this.lost = gpu.lost.then((loss) => {
      this.lostReason = loss.message || loss.reason || 'unknown reason';
      return this.lostReason;
    });
    // Whatever no error scope has caught: a queue that ran out of memory for a copy, a broken dispatch. What it wrote
    // is worth nothing, so the next wait says it.
    gpu.addEventListener('uncapturederror', (event) => {
      event.preventDefault();
      this.failure ??= event.error;
    });
  }

  /** Asks for a device with the adapter's own limits, or the default ones. Throws `no-webgpu` where there is none. */
  static async open(gpu: GPU | undefined, options: DeviceOptions = {}): Promise<Device> {
    const adapter = await findAdapter(gpu, options.afterLoss ? RETURN_MS : 0);
    if (!adapter) throw new GraftError('no-webgpu', options.afterLoss ? NO_LONGER : NO_ADAPTER);
    const hidden = new Set(options.withoutFeatures);
    const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name) && !hidden.has(name));
    const requiredLimits = options.defaultLimits
      ? {}
      : Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
    const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
    const info = adapter.info;
    const pretended = options.maxBindingBytes ?? Infinity;
    const software =
      info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${info.description} ${info.device}`);
    const description = info.description || info.device || info.architecture || info.vendor;
    const features = requiredFeatures.toSorted();
    const { maxComputeWorkgroupStorageSize: workgroupBytes, maxComputeInvocationsPerWorkgroup: threads } =
      device.limits;
    const lanes = [info.subgroupMinSize, info.subgroupMaxSize];
    const adapterKey = [VERSION, info.vendor, info.architecture, description, ...lanes];
    const identity = [...adapterKey, ...features, workgroupBytes, threads];
    const subgroups = requiredFeatures.includes('subgroups');
    return new Device(
      device,
      {
        vendor: info.vendor,
        architecture: info.architecture,
        description,
        software,
        features: requiredFeatures,
        maxBufferBytes: Math.min(device.limits.maxBufferSize, pretended),
        maxBindingBytes: Math.min(device.limits.maxStorageBufferBindingSize, pretended),
        ...(software && options.softwareMemoryBytes !== undefined && { memoryBytes: options.softwareMemoryBytes }),
      },
      {
        subgroups,
        octets: subgroups && lanes.every((count) => count === 8),
        f16: requiredFeatures.includes('shader-f16'),
        software,
      },
      identity.join('|'),
    );
  }

  /** The most bytes of a leaf before a table is cut into parts: the same on every device, but where tests pretend. */
  get partBytes(): number {
    return Math.min(BINDING_BYTES, this.info.maxBufferBytes, this.info.maxBindingBytes);
  }

  /** Throws `device-lost` once the device is gone, and `out-of-memory` once after work that failed for want of it. */
  assertAlive(): void {
    if (this.lostReason !== undefined) throw this.lossError(this.lostReason);
    const { failure } = this;
    this.failure = undefined;
    if (failure instanceof GPUOutOfMemoryError) throw outOfMemory(failure);
    if (failure) throw new Error(failure.message);
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
    if ('value' in outcome) {
      this.assertAlive();
      return outcome.value;
    }
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

function outOfMemory({ message }: GPUError): GraftError {
  return new GraftError(
    'out-of-memory',
    `The GPU ran out of memory (${message.split('\n')[0]}): use a smaller batch, a shorter max_length, or gradient_checkpointing.`,
  );
}
