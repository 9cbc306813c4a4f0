/** One pass over given rows: every logit, the loss, and gradients where they were planned for. */
import type { ParameterSpec } from '../../core/spec';
import { gradientLeaf } from '../compile/groups';
import type { Graph, Tensor } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { trainedLeaves } from '../methods/trained';
import { countLabels } from '../model/batch';
import { LEAF, type ModelOptions } from '../model/leaves';
import type { Batch, ForwardResult, ForwardView, ForwardViewOptions } from '../types';
import { refuseUnlabelled, writeBatch } from './batch-leaves';
import { readGradients } from './gradients';
import { lossGraph } from './loss-graph';
import { leavesRead, type BatchViewPlan, type SessionCore } from './view';
import { withVirtualTokens } from './virtual-tokens';

export interface ForwardPlan extends BatchViewPlan {
  /** By padded length. */
  readonly logits: ReadonlyMap<number, Tensor>;
  /** The parameters whose gradients are asked for, part by part. */
  readonly differentiated: readonly ParameterSpec[];
}

const programName = (length: number) => `forward:${length}`;

export function planForward(model: ModelOptions, options: ForwardViewOptions): ForwardPlan {
  const { batchSize: batch, lengths, gradients, packing: packed = false, checkpointing } = options;
  const graphs = new Map<string, Graph>();
  const logits = new Map<number, Tensor>();
  for (const length of lengths) {
    const checkpoint = options.gradientCheckpointing ?? false;
    const shared = { ...model, batch, length, packed, gradients, checkpoint, checkpointing };
    const built = lossGraph({ ...shared, dropout: false, logits: true });
    graphs.set(programName(length), built.graph);
    logits.set(length, built.logits!);
  }
  return {
    graphs,
    reads: leavesRead(graphs),
    logits,
    differentiated: trainedLeaves(model),
    buffers: [],
    readbackBytes: Math.max(...[...logits.values()].map(byteSize)),
  };
}

export class GpuForwardView implements ForwardView {
  constructor(
    private readonly core: SessionCore,
    private readonly options: ForwardViewOptions,
    private readonly planned: ForwardPlan,
  ) {}

  run(given: Batch): Promise<ForwardResult> {
    const { core, options, planned } = this;
    const { memory, model } = core;
    const batch = withVirtualTokens(given, model);
    const { differentiated } = planned;
    const tokens = countLabels(batch);
    if (differentiated.length > 0) refuseUnlabelled(tokens);
    const work = async () => {
      memory.clear([LEAF.loss, ...differentiated.map(({ name }) => gradientLeaf(name))]);
      if (differentiated.length > 0) memory.write(LEAF.dLoss, Float32Array.of(1 / tokens));
      const { length, rows } = writeBatch(core, planned, options, batch);
      const [values] = await memory.runAndRead(programName(length), [planned.logits.get(length)!], rows);
      const [lossSum] = await memory.read(LEAF.loss, 1);
      return {
        logits: values!.subarray(0, batch.inputIds.length * length * model.spec.vocabSize),
        ...(tokens > 0 ? { loss: lossSum! / tokens } : {}),
        ...(differentiated.length > 0 ? { gradients: await readGradients(memory, differentiated) } : {}),
      };
    };
    return core.accumulating(() => core.exclusively(work));
  }
}
