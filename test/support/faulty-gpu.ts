/** Real faults of a real device, at a moment that the test chooses. */

/** Destroys the device in the middle of its work: right after the submit for which `isNow` says so. */
export function loseAtSubmit(device: GPUDevice, isNow: () => boolean): void {
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  queue.submit = (commands) => {
    submit(commands);
    if (isNow()) device.destroy();
  };
}

/**
 * Takes the room away for some buffers: they are asked for in the largest size that the device allows, which an adapter
 * without that much memory refuses; where it has it (`refused` false), in one that is not allowed.
 */
export function crowdedDevice(
  device: GPUDevice,
  refused: boolean,
  hasNoRoom: (size: number, label: string) => boolean,
): void {
  const create = device.createBuffer.bind(device);
  const tooLarge = device.limits.maxBufferSize + (refused ? 0 : 4);
  device.createBuffer = (descriptor) => {
    const { size, label = '' } = descriptor;
    return create(hasNoRoom(size, label) ? { ...descriptor, size: tooLarge } : descriptor);
  };
}

/** Whether the adapter has less memory than the largest buffer it allows: Mesa's and Chromium's software ones do. */
export async function refusesLargestBuffer(gpu: GPU): Promise<boolean> {
  const adapter = (await gpu.requestAdapter())!;
  const { maxBufferSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxBufferSize } });
  device.pushErrorScope('out-of-memory');
  device.createBuffer({ size: device.limits.maxBufferSize, usage: GPUBufferUsage.STORAGE }).destroy();
  const error = await device.popErrorScope();
  device.destroy();
  return error !== null;
}
