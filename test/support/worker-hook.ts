/** Scripts put before the engine worker's own, through the network: what the page runs is the built product otherwise. */
import type { Page } from 'playwright-core';

const WORKER = /\/gpu\.worker-[\w-]+\.js$/;

/** Runs `hook` first in every worker that the page starts from now on. It must not use anything around it. */
export async function hookWorker<T>(page: Page, hook: (argument: T) => void, argument: T): Promise<void> {
  await unhookWorker(page);
  await page.route(WORKER, async (route) => {
    const response = await route.fetch();
    const first = `(${hook.toString()})(${JSON.stringify(argument)});\n`;
    await route.fulfill({ response, body: first + (await response.text()) });
  });
}

export async function unhookWorker(page: Page): Promise<void> {
  await page.unroute(WORKER);
}

/** The first devices, `losses` of them, are destroyed right after their `at`-th submit. */
export function loseDevices({ at, losses }: { at: number; losses: number }): void {
  const { requestDevice } = GPUAdapter.prototype;
  let left = losses;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await requestDevice.call(this, descriptor);
    const { queue } = device;
    let submits = 0;
    queue.submit = (commands) => {
      GPUQueue.prototype.submit.call(queue, commands);
      if (++submits !== at || left === 0) return;
      left--;
      device.destroy();
    };
    return device;
  };
}

/** Activations past `room` bytes are asked for in the largest buffer that the device allows: SwiftShader has no room for one. */
export function crowdDevices({ room }: { room: number }): void {
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const crowded = descriptor.label?.startsWith('slot') && descriptor.size > room;
    return createBuffer.call(this, crowded ? { ...descriptor, size: this.limits.maxBufferSize } : descriptor);
  };
}

/** Devices with WebGPU's default limits and without optional features. */
export function plainDevices(): void {
  const { requestDevice } = GPUAdapter.prototype;
  Object.defineProperty(GPUAdapter.prototype, 'features', { value: new Set() });
  GPUAdapter.prototype.requestDevice = function () {
    return requestDevice.call(this);
  };
}

/** The GPU never answers again, from a message on this channel on. */
export function hangOnMessage({ channel }: { channel: string }): void {
  const { mapAsync } = GPUBuffer.prototype;
  let hangs = false;
  new BroadcastChannel(channel).addEventListener('message', () => (hangs = true));
  GPUBuffer.prototype.mapAsync = function (...range) {
    return hangs ? new Promise(() => undefined) : mapAsync.apply(this, range);
  };
}
