/** Rows of `npm run bench` at a first meeting: ceilings, the kernels of a layer, steps, decoding, and the same in PEFT. */
import { findGpu } from '../../../src/cli/gpu';
import { kernelChoicesIn } from '../../../src/cli/kernel-choices';
import { KernelChoices } from '../../../src/engine/runtime/choices';
import { Runtime } from '../../../src/engine/runtime/runtime';
import type { KernelChoiceStore } from '../../../src/core/kernel-choices';
import type { Bench } from '../../bench/bench';
import { measureCeilings } from '../../bench/ceilings';
import { attentionBenches } from '../../bench/kernels/attention';
import { matmulBenches } from '../../bench/kernels/matmul';
import { pointwiseBenches } from '../../bench/kernels/pointwise';
import { runKernelBench } from '../../bench/kernels/types';
import { LLAMA_1B, MODELS } from '../../bench/models';
import type { Row } from '../../bench/report';
import { stepBenches, type StepSize } from '../../bench/steps';
import { openRunner } from '../../support/graph-runner';
import type { Part, PartInput, Size, Tell } from '../types';

const QWEN_05B = MODELS.filter(({ name }) => name === 'Qwen2.5-0.5B');
const TYPES = ['bf16', 'nf4_nested'];

const STEPS: Readonly<Record<Size, StepSize>> = {
  full: { models: [LLAMA_1B, ...QWEN_05B], layers: 4, vocabulary: 32_768 },
  small: { models: QWEN_05B, layers: 1, vocabulary: 512 },
};

/** A bench whose rows are told, and whose choices among kernels the parts share. */
async function openBench({ folder }: PartInput, tell: Tell, wanted: Bench['wanted']): Promise<Bench> {
  const gpu = await findGpu(process.env['GRAFT_ADAPTER']);
  const { device, capabilities } = await openRunner(gpu);
  const kept = kernelChoicesIn(folder);
  const kernelChoices: KernelChoiceStore = {
    read: (adapter) => kept.read(adapter),
    write: async (adapter, choices) => {
      for (const [shapeClass, choice] of Object.entries(choices)) tell({ kind: 'choice', shapeClass, choice });
      await kept.write(adapter, choices);
    },
  };
  return {
    gpu,
    runner: { device, capabilities, runtime: new Runtime(device, new KernelChoices(device.identity, kernelChoices)) },
    kernelChoices,
    now: () => performance.now(),
    kernelClock: undefined,
    wanted,
    add: (row) => tell({ kind: 'row', row }),
  };
}

export const ceilings: Part = async (input, tell) => {
  const bench = await openBench(input, tell, () => true);
  tell({ kind: 'ceilings', ceilings: await measureCeilings(bench) });
};

export const kernels: Part = async (input, tell) => {
  const bench = await openBench(input, tell, ({ name = '', dtype = '' }) => {
    return TYPES.includes(dtype) || !name.startsWith('linear');
  });
  const measured = input.ceilings ?? (await measureCeilings(bench));
  const model = input.size === 'full' ? LLAMA_1B : QWEN_05B[0]!;
  const benches = [...matmulBenches(model, measured), ...attentionBenches(model, measured), ...pointwiseBenches(model)];
  for (const kernel of input.size === 'full' ? benches : benches.filter((_, i) => i % 4 === 0)) {
    try {
      await runKernelBench(bench, measured, kernel);
    } catch (error) {
      tell({ kind: 'check', name: `${kernel.names.name} ${kernel.names.shape}`, passed: false, detail: String(error) });
    }
  }
};

async function stepRows(input: PartInput, tell: Tell, wanted: (row: Partial<Row>) => boolean): Promise<void> {
  const bench = await openBench(input, tell, wanted);
  await stepBenches(bench, input.ceilings ?? (await measureCeilings(bench)), STEPS[input.size]);
}

export const steps: Part = (input, tell) =>
  stepRows(input, tell, ({ group, name }) => group === 'step' && (input.size === 'full' || name !== 'not matmul'));

export const peft: Part = async (input, tell) => {
  let rows = 0;
  const counted: Tell = (finding) => {
    if (finding.kind === 'row') rows++;
    tell(finding);
  };
  await stepRows(input, counted, ({ group }) => group === 'peer');
  if (rows > 0) return;
  tell({ kind: 'fact', name: 'PyTorch with PEFT', value: 'not here: no python3 with torch, transformers and peft' });
};
