import { describe, expect, it } from 'vitest';
import { KernelChoices } from '../../../src/engine/runtime/choices';
import { PLAIN, type Kernel } from '../../../src/engine/graph/kernel';
import { Graph } from '../../../src/engine/graph/graph';
import { matmul } from '../../../src/engine/ops/matmul';
import { agreeing, BitSample } from '../../../src/engine/runtime/same-bits';
import { fastest } from '../../../src/engine/runtime/tuner';

/** A clock by which each name takes its own time, and how many runs each had. */
function fakeClock(milliseconds: Readonly<Record<string, number | Error>>) {
  const runs: Record<string, number> = {};
  const time = (name: string, repeats: number): Promise<number> => {
    runs[name] = (runs[name] ?? 0) + repeats;
    const taken = milliseconds[name]!;
    return taken instanceof Error ? Promise.reject(taken) : Promise.resolve(taken);
  };
  return { time, runs, choice: async () => (await fastest(Object.keys(milliseconds), time))?.name };
}

const refused = Object.assign(new Error('too much workgroup memory'), { name: 'GPUPipelineError' });

describe('the fastest variant', () => {
  it('is chosen wherever it stands', async () => {
    expect(await fakeClock({ a: 1, b: 2, c: 3 }).choice()).toBe('a');
    expect(await fakeClock({ a: 3, b: 2, c: 1 }).choice()).toBe('c');
  });

  it('must be a tenth faster than one that is preferred', async () => {
    expect(await fakeClock({ a: 1.05, b: 1 }).choice()).toBe('a');
    expect(await fakeClock({ a: 1.15, b: 1.06, c: 1 }).choice()).toBe('b');
    const { time } = fakeClock({ a: 1.4, b: 1 });
    expect(await fastest(['a', 'b'], time, 1.5)).toEqual({ name: 'a', milliseconds: { a: 1.4, b: 1 } });
  });

  it('is found though something else took its time in one run or another', async () => {
    let runs = 0;
    const time = (name: string) => Promise.resolve(name === 'a' && runs++ % 3 > 0 ? 50 : name === 'a' ? 1 : 2);
    expect(await fastest(['b', 'a'], time)).toMatchObject({ name: 'a' });
  });

  it('is measured more often than one that is hopeless', async () => {
    const { choice, runs } = fakeClock({ a: 1, b: 3.1, c: 1.5 });
    expect(await choice()).toBe('a');
    expect(runs['b']).toBe(2);
    expect(runs['a']).toBeGreaterThan(10);
    expect(runs['c']).toBe(runs['a']);
  });

  it('takes few runs to find where each is long', async () => {
    const { choice, runs } = fakeClock({ a: 500, b: 400 });
    expect(await choice()).toBe('b');
    expect(runs).toEqual({ a: 3, b: 3 });
  });

  it('is found by a clock that rounds single runs away', async () => {
    const seen: Readonly<Record<string, [number, number]>> = { a: [0, 0.05], b: [0.1, 0.03] };
    const time = (name: string, repeats: number) => Promise.resolve(seen[name]![repeats === 1 ? 0 : 1]);
    expect(await fastest(['a', 'b'], time)).toMatchObject({ name: 'b' });
    expect(await fakeClock({ a: 0, b: 0 }).choice()).toBe('a');
  });

  it('is one that the device compiles', async () => {
    expect(await fakeClock({ a: refused, b: 2 }).choice()).toBe('b');
    expect(await fakeClock({ a: refused, b: refused }).choice()).toBeUndefined();
  });

  it('is not looked for past other failures', async () => {
    await expect(fakeClock({ a: 1, b: new Error('lost') }).choice()).rejects.toThrow('lost');
  });
});

/** A product M × N × K with every tile for cards. */
function product(m = 256, n = 256, k = 256): Kernel {
  const graph = new Graph();
  const leaf = (name: string, shape: number[]) => graph.leaf(name, { shape, dtype: 'f32' }, 'workspace');
  matmul(graph, leaf('a', [m, k]), leaf('b', [k, n]));
  const [node] = graph.nodes;
  return node!.op.kernels(node!, PLAIN)[0]!;
}

describe('choices', () => {
  const kernel = product();
  const { shapeClass, kernels } = kernel.variants!;
  const [first, second] = kernels.keys();

  it('begin with what is preferred', () => {
    expect(new KernelChoices('adapter').of(kernel)).toBe(kernel);
    expect({ ...kernel, variants: undefined }).toEqual({ ...kernels.get(first!), variants: undefined });
  });

  it('are kept by adapter', async () => {
    const kept = new Map<string, unknown>();
    const store = {
      read: (adapter: string) => Promise.resolve(kept.get(adapter)),
      write: (adapter: string, choices: unknown) => Promise.resolve(void kept.set(adapter, choices)),
    };
    await new KernelChoices('one', store).add(new Map([[shapeClass, { name: second! }]]));
    const [same, other] = [new KernelChoices('one', store), new KernelChoices('other', store)];
    await Promise.all([same.load(), other.load()]);
    expect(same.of(kernel)).toBe(kernels.get(second!));
    expect(other.of(kernel)).toBe(kernel);
  });

  it.each([
    null,
    'text',
    7,
    [3],
    { [shapeClass]: 5 },
    { [shapeClass]: { name: 'no such kernel' } },
    { [shapeClass]: { name: 5 } },
    { __proto__: null },
  ])('are not led astray by %j in the store', async (content) => {
    const choices = new KernelChoices('adapter', {
      read: () => Promise.resolve(content),
      write: () => Promise.resolve(),
    });
    await choices.load();
    expect(choices.of(kernel)).toBe(kernel);
  });

  it('pass over what a version kept that compared no bits', async () => {
    const store = { read: () => Promise.resolve({ [shapeClass]: second! }), write: () => Promise.resolve() };
    const choices = new KernelChoices('adapter', store);
    await choices.load();
    expect(choices.get(shapeClass)).toBeUndefined();
  });

  it('name what wrote other bits', async () => {
    const choices = new KernelChoices('adapter');
    await choices.add(new Map([[shapeClass, { name: first!, differing: ['odd', 'odder'] }]]));
    expect(choices.differing()).toEqual([`${shapeClass}: odd, odder`]);
  });

  it('do without a store that fails', async () => {
    const broken = () => Promise.reject(new Error('no room'));
    const choices = new KernelChoices('adapter', { read: broken, write: broken });
    await choices.load();
    await choices.add(new Map([[shapeClass, { name: second! }]]));
    expect(choices.of(kernel)).toBe(kernels.get(second!));
  });
});

describe('what stands for a class on a card', () => {
  const sampled = (m: number, n: number, k: number) => {
    const [kernel] = product(m, n, k).variants!.sample().values();
    const [a, c] = [kernel!.bindings[0]!, kernel!.bindings[2]!];
    return { m: c.shape[0], n: c.shape[1], k: a.shape[1] };
  };

  it('has several waves of the widest tiles where the product has, and a bounded K', () => {
    expect(sampled(8192, 8192, 8192)).toEqual({ m: 4096, n: 2048, k: 1024 });
    expect(sampled(8000, 2048, 2048)).toEqual({ m: 4096, n: 2048, k: 1024 });
    expect(sampled(512, 130_000, 2048)).toEqual({ m: 512, n: 16_384, k: 1024 });
  });

  it('has few where the product has few', () => {
    expect(sampled(8192, 16, 2048)).toEqual({ m: 8192, n: 16, k: 1024 });
    expect(sampled(16, 2048, 8192)).toEqual({ m: 16, n: 2048, k: 1024 });
    expect(sampled(128, 256, 64)).toEqual({ m: 128, n: 256, k: 64 });
  });

  it('has operands of at most 64 MiB', () => {
    expect(sampled(100_000, 64, 4096)).toEqual({ m: 32_768, n: 64, k: 512 });
  });
});

describe('kernels that should write the same', () => {
  const wrote = (...words: number[]) => new BitSample([Uint32Array.from(words)]);

  it('are told by the larger group, or by the preferred one', () => {
    const most = agreeing(new Map([['a', wrote(1, 2)], ['b', wrote(1, 3)], ['c', wrote(1, 3)]])); // prettier-ignore
    expect(most).toEqual({ same: ['b', 'c'], differing: ['a'] });
    const even = agreeing(new Map([['a', wrote(1, 2)], ['b', wrote(1, 3)]])); // prettier-ignore
    expect(even).toEqual({ same: ['a'], differing: ['b'] });
  });

  it('are told apart by the sign of a zero, and not by NaN', () => {
    const zeros = agreeing(new Map([['a', wrote(0)], ['b', wrote(0x80000000)]])); // prettier-ignore
    expect(zeros.differing).toEqual(['b']);
    const same = agreeing(new Map([['a', wrote(0x7fc00000)], ['b', wrote(0x7fc00000)]])); // prettier-ignore
    expect(same.differing).toEqual([]);
  });
});
