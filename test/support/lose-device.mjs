/**
 * Loaded before the command line (`NODE_OPTIONS=--import`): loses each device at its GRAFT_TEST_LOSE_AT-th submit, for
 * as many devices as GRAFT_TEST_LOSSES says.
 */
import { globals } from 'webgpu';

const at = Number(process.env['GRAFT_TEST_LOSE_AT']);
let losses = Number(process.env['GRAFT_TEST_LOSSES']);

Object.assign(globalThis, globals);
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (/** @type {GPUDeviceDescriptor} */ descriptor) {
  const device = await requestDevice.call(this, descriptor);
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  let submits = 0;
  queue.submit = (/** @type {GPUCommandBuffer[]} */ commands) => {
    submit(commands);
    if (++submits !== at || losses === 0) return;
    losses--;
    device.destroy();
  };
  return device;
};
