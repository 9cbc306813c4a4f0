/** TensorFlow.js on its WebGPU backend. */
import type { Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import {
  ADAM,
  BLOCK,
  LINEAR_NAMES,
  LINEARS,
  transposed,
  type BlockInputs,
  type Contender,
  type Prepared,
} from './types';

/** The part of the backend that says when the GPU is done. */
interface WebGpuBackend {
  readonly device: GPUDevice;
  readonly commandEncoder: GPUCommandEncoder | null;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** Needs `navigator.gpu`. Returns undefined where the package finds no WebGPU. */
export async function tfjsContender(): Promise<Contender | undefined> {
  const tf = await import('@tensorflow/tfjs-core');
  await import('@tensorflow/tfjs-core/dist/register_all_gradients');
  await import('@tensorflow/tfjs-backend-webgpu');
  if (!(await tf.setBackend('webgpu'))) return undefined;
  await tf.ready();
  const backend = tf.backend() as unknown as WebGpuBackend;
  const done = async () => {
    if (backend.commandEncoder) {
      backend.endComputePassEncoder();
      backend.submitQueue();
    }
    await backend.device.queue.onSubmittedWorkDone();
  };
  const read = async (tensor: { data(): Promise<unknown> }) => (await tensor.data()) as Float32Array;

  return {
    name: 'TensorFlow.js',
    async matmul(side, x, w) {
      const [a, b] = [tf.tensor2d(x, [side, side]), tf.tensor2d(transposed(w, side, side), [side, side])];
      let last: Tensor2D | undefined;
      return {
        async run() {
          last?.dispose();
          last = tf.matMul(a, b);
          await done();
        },
        results: async () => [await read(last!)],
        dispose: () => [a, b, last].forEach((held) => held?.dispose()),
      };
    },
    block: async (inputs) => prepareBlock(inputs),
  };

  function prepareBlock({ x, target, linears }: BlockInputs): Prepared {
    const frozen = new Map<string, Tensor2D>();
    const parameters: Variable[] = [];
    for (const name of LINEAR_NAMES) {
      const { inFeatures, outFeatures } = LINEARS[name];
      const { w, a, b } = linears[name];
      frozen.set(name, tf.tensor2d(transposed(w, outFeatures, inFeatures), [inFeatures, outFeatures]));
      parameters.push(tf.variable(tf.tensor2d(transposed(a, BLOCK.rank, inFeatures), [inFeatures, BLOCK.rank])));
      parameters.push(tf.variable(tf.tensor2d(transposed(b, outFeatures, BLOCK.rank), [BLOCK.rank, outFeatures])));
    }
    const input = tf.tensor2d(x, [BLOCK.tokens, BLOCK.width]);
    const seed = tf.tensor2d(target, [BLOCK.tokens, BLOCK.width]);
    const { learningRate, beta1, beta2, epsilon } = ADAM;
    const optimizer = tf.train.adam(learningRate, beta1, beta2, epsilon);
    let dx: Tensor2D | undefined;

    const adapted = (h: Tensor2D, name: (typeof LINEAR_NAMES)[number], [a, b]: readonly Tensor2D[]) =>
      tf.add<Tensor2D>(tf.matMul(h, frozen.get(name)!), tf.mul(tf.matMul(tf.matMul(h, a!), b!), BLOCK.scaling));
    const loss = (h: Tensor2D, ...p: Tensor2D[]) => {
      const gate = adapted(h, 'gate', p.slice(0, 2));
      const active = tf.mul<Tensor2D>(tf.mul(gate, tf.sigmoid(gate)), adapted(h, 'up', p.slice(2, 4)));
      return tf.sum(tf.mul(adapted(active, 'down', p.slice(4, 6)), seed));
    };
    const gradients = tf.grads(loss as (...args: Tensor[]) => Tensor);

    return {
      async run() {
        dx?.dispose();
        const [dInput, ...dParameters] = gradients([input, ...parameters]);
        dx = dInput as Tensor2D;
        optimizer.applyGradients(parameters.map(({ name }, i) => ({ name, tensor: dParameters[i]! })));
        tf.dispose(dParameters);
        await done();
      },
      async results() {
        const shapes = LINEAR_NAMES.flatMap((name) => {
          const { inFeatures, outFeatures } = LINEARS[name];
          return [
            [inFeatures, BLOCK.rank],
            [BLOCK.rank, outFeatures],
          ] as const;
        });
        const updated: Float32Array[] = [];
        for (const [i, shape] of shapes.entries())
          updated.push(transposed(await read(parameters[i]!), shape[0], shape[1]));
        return [await read(dx!), ...updated];
      },
      dispose() {
        tf.dispose([...frozen.values(), ...parameters, input, seed]);
        dx?.dispose();
        optimizer.dispose();
      },
    };
  }
}
