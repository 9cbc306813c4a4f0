/** What the backward pass emits: no work for frozen leaves, sums folded where a kernel can take them. */
import { describe, expect, it } from 'vitest';
import { addGradients, backward } from '../../../src/engine/graph/autodiff';
import { Graph, type Tensor } from '../../../src/engine/graph/graph';
import { lossGraph } from '../../../src/engine/session/loss-graph';
import { add } from '../../../src/engine/ops/add';
import { gatherRows } from '../../../src/engine/ops/cache';
import { linear } from '../../../src/engine/ops/matmul';
import { rmsNorm } from '../../../src/engine/ops/rms_norm';
import { expand, round } from '../../../src/engine/ops/round';
import { swiglu } from '../../../src/engine/ops/glu';
import { tinyLora, tinySpec } from '../../support/decoder-spec';

function leaf(graph: Graph, name: string, shape: number[], trainable: boolean): Tensor {
  return graph.leaf(name, { shape, dtype: 'f32' }, 'workspace', trainable);
}

function counts(names: readonly string[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const name of names) result[name] = (result[name] ?? 0) + 1;
  return result;
}

const opNames = (graph: Graph) => graph.liveNodes().map((node) => node.op.name);

/** Names of the ops that the backward pass adds, and the leaves that get a gradient. */
function emitted(build: (graph: Graph) => Tensor): { ops: Record<string, number>; leaves: string[] } {
  const graph = new Graph();
  const y = build(graph);
  const forward = graph.nodes.length;
  const gradients = backward(graph, new Map([[y, leaf(graph, 'dy', [...y.shape], false)]]));
  gradients.forEach((gradient) => graph.keep(gradient));
  const live = new Set(graph.liveNodes());
  const added = graph.nodes.slice(forward).filter((node) => live.has(node));
  return {
    ops: counts(added.map((node) => node.op.name)),
    leaves: [...gradients.keys()].map((tensor) => tensor.leaf!.name),
  };
}

describe('frozen leaves', () => {
  const product = (xTrains: boolean, wTrains: boolean) =>
    emitted((graph) => linear(graph, leaf(graph, 'x', [7, 20], xTrains), leaf(graph, 'w', [5, 20], wTrains)));

  it('get no product of a linear', () => {
    expect(product(true, true)).toEqual({ ops: { matmul: 2 }, leaves: ['x', 'w'] });
    expect(product(true, false)).toEqual({ ops: { matmul: 1 }, leaves: ['x'] });
    expect(product(false, true)).toEqual({ ops: { matmul: 1 }, leaves: ['w'] });
    expect(product(false, false)).toEqual({ ops: {}, leaves: [] });
  });

  it('get no weight gradient of a norm, and stop the pass above them', () => {
    const { ops, leaves } = emitted((graph) => {
      const frozen = swiglu(graph, leaf(graph, 'a', [7, 20], false), leaf(graph, 'b', [7, 20], false));
      const normed = rmsNorm(graph, frozen, leaf(graph, 'norm', [20], false), 1e-5);
      return linear(graph, normed, leaf(graph, 'w', [5, 20], true));
    });
    // The two are cheap: they are computed again for the weight's gradient rather than kept for it.
    expect({ ops, leaves }).toEqual({ ops: { matmul: 1, swiglu: 1, rmsNorm: 1 }, leaves: ['w'] });
  });

  it('below the first adapter of a decoder cost nothing', () => {
    const lora = { ...tinyLora, dropout: 0, targetModules: ['v_proj'] };
    const { graph } = lossGraph({
      spec: tinySpec,
      weightDType: 'f32',
      lora,
      trains: (name) => name.startsWith('base_model.'),
      positions: 7,
      batch: 2,
      length: 7,
      gradients: true,
      dropout: false,
      checkpoint: false,
    });
    expect(counts(opNames(graph))).toEqual({
      embedding: 1,
      // Forward 5; again for the gradient of A in both layers.
      rmsNorm: 5 + 2,
      // Forward 7 a layer, and 2 an adapter. Backward: dX of layer 1's seven linears and of layer 0's four behind the
      // values; of both adapters dB, d(xAᵀ) and dA, and in layer 1 dx through A.
      matmul: 14 + 4 + (7 + 4) + (1 + 1 + 1),
      // dB and dA are added to their totals by the products themselves.
      matmulSum: 2 + 2,
      rope: 4 + 2,
      attention: 2,
      swiglu: 2,
      headLossGradients: 1,
      rmsNormDx: 1 + 2 + 1,
      swigluBackward: 2,
      attentionDelta: 2,
      attentionDq: 1,
      attentionDkv: 2,
      accumulate: 1, // the loss
    });
  });
});

describe('sums of gradients', () => {
  it('are folded into products and norms', () => {
    const { ops } = emitted((graph) => {
      const x = leaf(graph, 'x', [7, 20], true);
      const w = (name: string) => leaf(graph, name, [20, 20], false);
      const h = rmsNorm(graph, x, leaf(graph, 'norm', [20], false), 1e-5);
      return add(graph, x, swiglu(graph, linear(graph, h, w('gate')), linear(graph, h, w('up'))));
    });
    expect(ops).toEqual({ swigluBackward: 1, matmul: 2, rmsNormDx: 1 });
  });

  const fullTraining = (tieWordEmbeddings: boolean) =>
    opNames(
      lossGraph({
        spec: { ...tinySpec, tieWordEmbeddings },
        weightDType: 'f32',
        trains: () => true,
        positions: 7,
        batch: 1,
        length: 7,
        gradients: true,
        dropout: false,
        checkpoint: false,
      }).graph,
    );

  it('need no addition of their own, not for a tied embedding either', () => {
    expect(counts(fullTraining(false))['add']).toBeUndefined();
    expect(counts(fullTraining(true))['add']).toBeUndefined();
  });
});

describe('totals of gradients', () => {
  /** The ops that add to totals, and how many additions stand by themselves. */
  function additions(build: (graph: Graph, w: Tensor) => Tensor): Record<string, number> {
    const graph = new Graph();
    const y = build(graph, leaf(graph, 'w', [20, 20], true));
    addGradients(graph, new Map([[y, leaf(graph, 'dy', [...y.shape], false)]]), (w) =>
      leaf(graph, `total of ${w.leaf!.name}`, [...w.shape], false),
    );
    return counts(graph.nodes.filter(({ op }) => op.writes).map(({ op }) => op.name));
  }

  it('are added to by the product that is a whole gradient', () => {
    expect(additions((graph, w) => linear(graph, leaf(graph, 'x', [7, 20], false), w))).toEqual({ matmulSum: 1 });
  });

  it('are added to once where a gradient is a sum, in the order of a sum that is kept', () => {
    const twice = (graph: Graph, w: Tensor) => linear(graph, linear(graph, leaf(graph, 'x', [7, 20], false), w), w);
    expect(additions(twice)).toEqual({ accumulate: 1 });
    const square = (graph: Graph, w: Tensor) => linear(graph, w, w);
    expect(additions(square)).toEqual({ accumulate: 1 });
  });

  it('need no addition of their own in training of all or of an adapter', () => {
    const shared = { spec: tinySpec, weightDType: 'f32', positions: 7, batch: 1, length: 7 } as const;
    const rest = { gradients: true, dropout: true, checkpoint: true };
    for (const lora of [undefined, tinyLora]) {
      const trains = (name: string) => !lora || name.startsWith('base_model.');
      const { graph } = lossGraph({ ...shared, ...rest, lora, trains, dropout: lora !== undefined });
      expect(counts(opNames(graph))['accumulate']).toBe(1); // the loss
    }
  });
});

describe('backward', () => {
  it('follows only what the seeded output depends on', () => {
    const { ops, leaves } = emitted((graph) => {
      const x = leaf(graph, 'x', [7, 20], true);
      swiglu(graph, x, leaf(graph, 'unused', [7, 20], true));
      return linear(graph, x, leaf(graph, 'w', [5, 20], false));
    });
    expect({ ops, leaves }).toEqual({ ops: { matmul: 1 }, leaves: ['x'] });
  });

  it('gives the gradient of inner values where they are asked for', () => {
    const graph = new Graph();
    const x = leaf(graph, 'x', [7, 20], false);
    const h = linear(graph, x, leaf(graph, 'w', [20, 20], false));
    const y = swiglu(graph, h, h);
    const gradients = backward(graph, new Map([[y, leaf(graph, 'dy', [7, 20], false)]]), [h]);
    expect([...gradients.keys()]).toEqual([h]);
    expect(gradients.get(h)!.shape).toEqual([7, 20]);
  });

  it('refuses an op that has no rule', () => {
    const build = (graph: Graph) => {
      const rows = graph.leaf('rows', { shape: [3], dtype: 'u32' }, 'workspace');
      return gatherRows(graph, leaf(graph, 'x', [7, 20], true), rows);
    };
    expect(() => emitted(build)).toThrow('gatherRows has no backward rule');
  });

  it('recomputes a checkpointed segment once, and of it only what the rules read', () => {
    const graph = new Graph();
    const x = leaf(graph, 'x', [7, 20], true);
    const w = (name: string) => leaf(graph, name, [20, 20], true);
    const y = graph.checkpoint(() => {
      const gated = swiglu(graph, linear(graph, x, w('gate')), linear(graph, x, w('up')));
      return linear(graph, gated, w('down'));
    });
    const gradients = backward(graph, new Map([[y, leaf(graph, 'dy', [7, 20], false)]]));
    gradients.forEach((gradient) => graph.keep(gradient));
    graph.keep(y);
    // Once more: gate, up and their activation; the last product is in no rule.
    expect(counts(opNames(graph))).toEqual({ matmul: 3 + 2 + 6, swiglu: 1 + 1, swigluBackward: 1 });
  });

  it('recomputes a segment of segments as a whole, and each once more in its turn', () => {
    const graph = new Graph();
    const w = (name: string) => leaf(graph, name, [20, 20], true);
    const layer = (i: number, x: Tensor) =>
      graph.checkpoint(() => linear(graph, linear(graph, x, w(`a${i}`)), w(`b${i}`)));
    const y = graph.checkpoint(() => layer(2, layer(1, layer(0, leaf(graph, 'x', [7, 20], false)))));
    const gradients = backward(graph, new Map([[y, leaf(graph, 'dy', [7, 20], false)]]));
    gradients.forEach((gradient) => graph.keep(gradient));
    graph.keep(y);
    // Forward 6. The inputs of the last two layers come from the first two, 4; then the middle of each layer again, 3.
    // Backward 12, less the gradient of x.
    expect(counts(opNames(graph))).toEqual({ matmul: 6 + 4 + 3 + 11 });
  });

  it('lets gradients through rounding as they are', () => {
    const graph = new Graph();
    const x = leaf(graph, 'x', [7, 20], true);
    const dy = leaf(graph, 'dy', [7, 20], false);
    expect(backward(graph, new Map([[expand(graph, round(graph, x)), dy]]))).toEqual(new Map([[x, dy]]));
  });
});
