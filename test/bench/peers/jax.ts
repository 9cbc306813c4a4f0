/** jax-js (npm @jax-js/jax), compiled with jit. It counts references: what is used once more is passed as `.ref`. */
import type { Array as JaxArray } from '@jax-js/jax';
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

type Arrays = Record<string, JaxArray>;

/** Needs `navigator.gpu`. Returns undefined where the package finds no WebGPU. */
export async function jaxContender(): Promise<Contender | undefined> {
  const jax = await import('@jax-js/jax');
  const { numpy: np, tree } = jax;
  if (!(await jax.init('webgpu')).includes('webgpu')) return undefined;
  jax.defaultDevice('webgpu');

  const array = (values: Float32Array, rows: number, columns: number) => np.array(values, { shape: [rows, columns] });
  const read = async (values: JaxArray) => (await values.ref.data()) as Float32Array;

  return {
    name: 'jax-js',
    async matmul(side, x, w) {
      const product = jax.jit((a: JaxArray, b: JaxArray) => np.matmul(a, b));
      const [a, b] = [array(x, side, side), array(transposed(w, side, side), side, side)];
      let last: JaxArray | undefined;
      return {
        async run() {
          last?.dispose();
          last = product(a.ref, b.ref);
          await jax.blockUntilReady(last);
        },
        results: async () => [await read(last!)],
        dispose: () => [a, b, last].forEach((held) => held?.dispose()),
      };
    },
    block: async (inputs) => prepareBlock(inputs),
  };

  function prepareBlock({ x, target, linears }: BlockInputs): Prepared {
    const frozen: Arrays = {};
    let parameters: Arrays = {};
    for (const name of LINEAR_NAMES) {
      const { inFeatures, outFeatures } = LINEARS[name];
      const { w, a, b } = linears[name];
      frozen[name] = array(transposed(w, outFeatures, inFeatures), inFeatures, outFeatures);
      parameters[`${name}A`] = array(transposed(a, BLOCK.rank, inFeatures), inFeatures, BLOCK.rank);
      parameters[`${name}B`] = array(transposed(b, outFeatures, BLOCK.rank), BLOCK.rank, outFeatures);
    }
    const zeros = () => tree.map((value: JaxArray) => np.zerosLike(value.ref), parameters);
    let [m, v] = [zeros(), zeros()];
    const held = { x: array(x, BLOCK.tokens, BLOCK.width), target: array(target, BLOCK.tokens, BLOCK.width) };
    let dx: JaxArray | undefined;

    const adapted = (input: JaxArray, p: Arrays, f: Arrays, name: string) =>
      np
        .matmul(input.ref, f[name]!)
        .add(np.matmul(np.matmul(input, p[`${name}A`]!), p[`${name}B`]!).mul(BLOCK.scaling));
    const loss = (p: Arrays, input: JaxArray, f: Arrays, t: JaxArray) => {
      const gate = jax.nn.silu(adapted(input.ref, p, f, 'gate'));
      const y = adapted(gate.mul(adapted(input, p, f, 'up')), p, f, 'down');
      return np.sum(y.mul(t));
    };
    const { learningRate, beta1, beta2, epsilon } = ADAM;
    const step = jax.jit((p: Arrays, m0: Arrays, v0: Arrays, input: JaxArray, f: Arrays, t: JaxArray) => {
      const [dp, dInput] = jax.grad(loss, { argnums: [0, 1] })(tree.ref(p), input, f, t) as unknown as [
        Arrays,
        JaxArray,
      ];
      const [p1, m1, v1]: Arrays[] = [{}, {}, {}];
      for (const [name, g] of Object.entries(dp)) {
        const mean = m0[name]!.mul(beta1).add(g.ref.mul(1 - beta1));
        const square = v0[name]!.mul(beta2).add(g.ref.mul(g).mul(1 - beta2));
        m1![name] = mean.ref;
        v1![name] = square.ref;
        const root = np.sqrt(square.div(1 - beta2)).add(epsilon);
        p1![name] = p[name]!.sub(mean.mul(learningRate / (1 - beta1)).div(root));
      }
      return [p1!, m1!, v1!, dInput];
    });

    return {
      async run() {
        dx?.dispose();
        const next = step(parameters, m, v, held.x.ref, tree.ref(frozen), held.target.ref);
        [parameters, m, v, dx] = next as unknown as [Arrays, Arrays, Arrays, JaxArray];
        await jax.blockUntilReady([parameters, m, v, dx]);
      },
      async results() {
        const updated: Float32Array[] = [];
        for (const name of LINEAR_NAMES) {
          const { inFeatures, outFeatures } = LINEARS[name];
          updated.push(transposed(await read(parameters[`${name}A`]!), inFeatures, BLOCK.rank));
          updated.push(transposed(await read(parameters[`${name}B`]!), BLOCK.rank, outFeatures));
        }
        return [await read(dx!), ...updated];
      },
      dispose() {
        tree.dispose([parameters, m, v, frozen, held]);
        dx?.dispose();
      },
    };
  }
}
