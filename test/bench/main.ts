/** `npm run bench`: every row checks its result before it times it. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { findGpu } from '../../src/cli/gpu';
import { openRunner } from '../support/graph-runner';
import type { Bench } from './bench';
import { measureCeilings } from './ceilings';
import { attentionBenches } from './kernels/attention';
import { matmulBenches } from './kernels/matmul';
import { pointwiseBenches } from './kernels/pointwise';
import { runKernelBench } from './kernels/types';
import { MODELS } from './models';
import { peerBenches } from './peers';
import { benchReading } from './reading';
import { header, line, type Row } from './report';
import { benchSampling } from './sampling';
import { stepBenches } from './steps';

const HELP = `usage: npm run bench -- [data|sampling] [--filter WORDS] [--json] [--clock wall|cpu] [--layers N]

  data              only how fast a dataset is read, which needs no GPU
  sampling          only how fast a token is drawn from its logits, which needs none either

  --filter WORDS    only rows that have all these words: group, name, model, type, shape
                    (--filter "kernel dX nf4", --filter "step Llama-3.2-1B", --filter peer)
  --json            one JSON object instead of the table
  --clock cpu       on a software adapter: CPU time by core instead of time, for a machine that does other work too
  --layers N        layers of the step rows (a software adapter: 1, a card: 4)

GRAFT_ADAPTER and VK_DRIVER_FILES choose the GPU as for graft.
`;

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    filter: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    clock: { type: 'string', default: 'wall' },
    layers: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (args.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

if (positionals.includes('data')) {
  await benchReading((text) => process.stdout.write(`${text}\n`));
  process.exit(0);
}

if (positionals.includes('sampling')) {
  benchSampling((text) => process.stdout.write(`${text}\n`));
  process.exit(0);
}

const gpu = await findGpu(process.env['GRAFT_ADAPTER']);
const runner = await openRunner(gpu);
const { info } = runner.device;
const words = args.filter.toLowerCase().split(/\s+/).filter(Boolean);
const rows: Row[] = [];

function cpuByCore(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 / availableParallelism();
}

const onCpu = args.clock === 'cpu' && info.software;
const bench: Bench = {
  gpu,
  runner,
  now: onCpu ? cpuByCore : () => performance.now(),
  kernelClock: onCpu ? cpuByCore : undefined,
  wanted(names) {
    const text = Object.values(names).join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  },
  add(row) {
    rows.push(row);
    if (!args.json) process.stdout.write(`${line(row)}\n`);
  },
};

const clock = onCpu ? 'CPU time by core' : 'time';
if (!args.json)
  process.stdout.write(`${info.description}${info.software ? ' (software)' : ''}; ${clock}\n\n${header()}\n`);

const ceilings = await measureCeilings(bench);
for (const model of MODELS) {
  const benches = [...matmulBenches(model, ceilings), ...attentionBenches(model, ceilings), ...pointwiseBenches(model)];
  for (const kernels of benches) await runKernelBench(bench, ceilings, kernels);
}
await peerBenches(bench, ceilings);
await stepBenches(bench, ceilings, {
  layers: Number(args.layers ?? (info.software ? 1 : 4)),
  vocabulary: info.software ? 2048 : Infinity,
});

if (args.json) process.stdout.write(`${JSON.stringify({ adapter: info, clock, ceilings, rows }, null, 1)}\n`);
// Dawn keeps threads of its own, so the process wouldn't end by itself.
process.exit(0);
