/** What a device is asked for, and what it says it got. */
import { describe, expect, it } from 'vitest';
import { deviceOptions } from '../../../src/cli/device-options';
import { Device } from '../../../src/engine/runtime/device';
import { refusesLargestBuffer } from '../../support/faulty-gpu';
import { testGpu } from '../../support/gpu';
import { expectError } from '../recipes/support';

const MIB = 2 ** 20;
const { gpu } = await testGpu();

describe('a device', () => {
  it('keeps to the default limits when told, and says them', async () => {
    const device = await Device.open(gpu, { defaultLimits: true });
    const { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize } = device.gpu.limits;
    const { maxBufferBytes, maxBindingBytes } = device.info;
    expect([maxBufferBytes, maxBindingBytes]).toEqual([256 * MIB, 128 * MIB]);
    expect([maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize]).toEqual([8, 16384]);
    device.destroy();
  });

  it('goes without hidden features', async () => {
    const device = await Device.open(gpu, { withoutFeatures: ['subgroups', 'shader-f16'] });
    expect(device.capabilities).toMatchObject({ subgroups: false, f16: false });
    expect([...device.gpu.features]).not.toContain('subgroups');
    expect([...device.gpu.features]).not.toContain('shader-f16');
    device.destroy();
  });
});

describe('a device that failed where nobody asked', async () => {
  it.runIf(await refusesLargestBuffer(gpu))('says at the next wait that it ran out of memory, once', async () => {
    const device = await Device.open(gpu);
    device.gpu.createBuffer({ size: device.info.maxBufferBytes, usage: GPUBufferUsage.STORAGE });
    const idle = () => device.gpu.queue.onSubmittedWorkDone();
    await expectError(() => device.wait(idle()), 'out-of-memory', /ran out of memory \(.+\): use a smaller batch/);
    await device.wait(idle());
    device.destroy();
  });

  it('says at the next wait what was invalid', async () => {
    const device = await Device.open(gpu);
    device.gpu.createBuffer({ size: 2 * device.info.maxBufferBytes, usage: GPUBufferUsage.STORAGE });
    await expect(device.wait(device.gpu.queue.onSubmittedWorkDone())).rejects.toThrow(/exceeds the max buffer size/);
    device.destroy();
  });
});

describe('the environment', () => {
  it('says what a device goes without', () => {
    expect(deviceOptions({})).toEqual({ defaultLimits: false, withoutFeatures: [] });
    expect(deviceOptions({ GRAFT_LIMITS: 'default', GRAFT_WITHOUT: 'subgroups, shader-f16' })).toEqual({
      defaultLimits: true,
      withoutFeatures: ['subgroups', 'shader-f16'],
    });
  });

  it('is refused where it says something else', async () => {
    await expectError(() => deviceOptions({ GRAFT_LIMITS: 'low' }), 'bad-config', /GRAFT_LIMITS is low/);
  });
});
