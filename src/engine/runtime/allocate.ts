/** Allocation with its errors caught where they happen. */
import { GraftError } from '../../core/errors';
import type { Device } from './device';

/** Runs allocations and turns the device's own out-of-memory and validation errors into one sentence. */
export async function allocating<T>(device: Device, allocate: () => T): Promise<T> {
  device.assertAlive();
  device.gpu.pushErrorScope('validation');
  device.gpu.pushErrorScope('out-of-memory');
  const result = allocate();
  const [outOfMemory, invalid] = await device.wait(
    Promise.all([device.gpu.popErrorScope(), device.gpu.popErrorScope()]),
  );
  const error = outOfMemory ?? invalid;
  if (error) {
    throw new GraftError(
      'out-of-memory',
      `The GPU could not hold this run (${error.message.split('\n')[0]}): use a smaller batch, a shorter max_length, or gradient_checkpointing.`,
    );
  }
  return result;
}
