import { globals } from 'webgpu';
import { deviceOptions } from '../../src/cli/device-options';
import { dozeWhileWaiting } from '../../src/cli/doze';
import { openAdapter, openNullBackend } from './adapter.mjs';
import { wrapGpu } from './wrapped-gpu';

export interface TestGpu {
  /** What a browser has as `navigator.gpu`. */
  readonly gpu: GPU;
  /** The adapter's own description, for messages. */
  readonly name: string;
  readonly software: boolean;
}

let opened: Promise<TestGpu> | undefined;

/**
 * The GPU that tests run on, one per process: a real one where there is one, else Mesa's lavapipe, else SwiftShader.
 * It goes without what `GRAFT_LIMITS` and `GRAFT_WITHOUT` say, as the command line's does.
 */
export function testGpu(): Promise<TestGpu> {
  dozeWhileWaiting(globals);
  opened ??= openAdapter().then((found) => {
    if (!found) throw new Error('No Vulkan driver works here: run `npm test` once, which installs a software one.');
    return { ...found, gpu: wrapGpu(found.gpu, deviceOptions(process.env)) };
  });
  return opened;
}

/**
 * A GPU that compiles and validates everything and computes nothing (Dawn's null backend). Needs no driver. That
 * backend leaves in a new buffer whatever the memory held; here it holds zeros, as WebGPU promises.
 */
export function nullGpu(): GPU {
  return wrapGpu(openNullBackend(), { onDevice: clearNewBuffers });
}

function clearNewBuffers(device: GPUDevice): void {
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    if (descriptor.mappedAtCreation) return createBuffer(descriptor);
    const buffer = createBuffer({ ...descriptor, mappedAtCreation: true });
    new Uint8Array(buffer.getMappedRange()).fill(0);
    buffer.unmap();
    return buffer;
  };
}
