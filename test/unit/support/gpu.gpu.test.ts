import { expect, test } from 'vitest';
import { nullGpu, testGpu } from '../../support/gpu';

/** Doubles 0 … 63 on the device and reads the result back. */
async function doubled(gpu: GPU): Promise<number[]> {
  const device = await (await gpu.requestAdapter())!.requestDevice();
  const module = device.createShaderModule({
    code: `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
      @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { x[i] = 2 * f32(i); }`,
  });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const buffer = device.createBuffer({ size: 256, usage });
  const readback = device.createBuffer({ size: 256, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer } }],
    }),
  );
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, readback, 0, 256);
  device.queue.submit([encoder.finish()]);
  await readback.mapAsync(GPUMapMode.READ);
  return [...new Float32Array(readback.getMappedRange())];
}

test('the test GPU computes', async () => {
  const { gpu } = await testGpu();
  expect(await doubled(gpu)).toEqual(Array.from({ length: 64 }, (_, i) => 2 * i));
});

test("Dawn's null backend compiles a kernel and refuses a broken one", async () => {
  const device = await (await nullGpu().requestAdapter())!.requestDevice();
  const compile = async (code: string) => {
    device.pushErrorScope('validation');
    device.createShaderModule({ code });
    return (await device.popErrorScope())?.message;
  };
  expect(await compile('@compute @workgroup_size(1) fn main() {}')).toBeUndefined();
  expect(await compile('@compute @workgroup_size(1) fn main() { let x: f32 = 1u; }')).toContain('f32');
});
