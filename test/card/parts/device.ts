/** What the adapter is, and what it can do. */
import { findGpu } from '../../../src/cli/gpu';
import { Device } from '../../../src/engine/runtime/device';
import type { Part } from '../types';

export const device: Part = async (_input, tell) => {
  const gpu = await findGpu(process.env['GRAFT_ADAPTER']);
  const { info, gpu: opened, identity } = await Device.open(gpu);
  const { maxComputeWorkgroupStorageSize: shared, maxComputeInvocationsPerWorkgroup: threads } = opened.limits;
  const facts = {
    adapter: info.description,
    vendor: info.vendor,
    architecture: info.architecture,
    software: String(info.software),
    features: info.features.join(', '),
    'largest buffer': `${info.maxBufferBytes} bytes`,
    'largest binding': `${info.maxBindingBytes} bytes`,
    workgroups: `${threads} threads, ${shared} bytes`,
    subgroups: `${opened.adapterInfo.subgroupMinSize} to ${opened.adapterInfo.subgroupMaxSize} lanes`,
    identity,
  };
  for (const [name, value] of Object.entries(facts)) tell({ kind: 'fact', name, value });
};
