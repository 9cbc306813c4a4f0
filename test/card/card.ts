/**
 * `npm run card`, or `node card.mjs` where the kit was carried to: all that a first meeting with a GPU must answer. Each
 * part runs in a process of its own within a time of its own: what crashes or hangs is a line of the report, and the rest
 * is run. Writes report.md and card.json.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { report } from './report';
import { runPart } from './run-part';
import type { Outcome, PartInput, Size } from './types';

const HELP = `usage: npm run card -- [--output DIR] [--size small|full] [--only PART,…] [--minutes N]

  --output DIR    where report.md and card.json go ($OUT, else test/results/card)
  --size SIZE     small is for software adapters, and what those get by themselves
  --only PARTS    some of the parts: device, ops, variants, golden, ceilings, kernels, steps, peft
  --minutes N     after which nothing more is begun or left running (8)

GRAFT_ADAPTER and VK_DRIVER_FILES choose the GPU as for graft.
`;

/** In the order of what matters, with the most seconds that each may take: together less than the eight minutes. */
const PARTS: Readonly<Record<string, number>> = {
  device: 20,
  ops: 90,
  variants: 60,
  golden: 40,
  ceilings: 40,
  kernels: 80,
  steps: 90,
  peft: 60,
};

/** The small size shares a few cores with its own software GPU. */
const SMALL_SECONDS = 120;

const here = dirname(fileURLToPath(import.meta.url));
const { values: args } = parseArgs({
  options: {
    output: { type: 'string', default: process.env['OUT'] ?? 'test/results/card' },
    size: { type: 'string' },
    only: { type: 'string', default: Object.keys(PARTS).join() },
    minutes: { type: 'string', default: '8' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const wanted = args.only.split(',');
const unknown = wanted.find((name) => !(name in PARTS));
const minutes = Number(args.minutes);
const isWrong =
  unknown !== undefined || !(minutes > 0) || (args.size !== undefined && !/^(small|full)$/.test(args.size));
if (args.help || isWrong) {
  process.stdout.write(HELP);
  process.exit(args.help ? 0 : 2);
}

const output = resolve(args.output);
mkdirSync(output, { recursive: true });
// What an earlier run has chosen would be neither measured nor told again.
for (const file of readdirSync(output)) if (/^kernels-.*\.json$/.test(file)) rmSync(join(output, file));
const began = performance.now();
const secondsSince = (start: number) => (performance.now() - start) / 1000;

/** What others have computed, where it was carried along. */
const references = join(here, 'reference');
const environment: Readonly<Record<string, string>> = existsSync(references) ? { GRAFT_REFERENCE: references } : {};

function start(name: string, input: PartInput, seconds: number): Promise<Outcome> {
  const file = join(output, `${name}.jsonl`);
  return runPart(name, [join(here, 'part.mjs'), name, JSON.stringify(input), file], { file, seconds, environment });
}

const outcomes: Outcome[] = [];
const found = () => outcomes.flatMap(({ findings }) => findings);
const isSoftware = () =>
  found().some((fact) => fact.kind === 'fact' && fact.name === 'software' && fact.value === 'true');
let size: Size = args.size === 'small' ? 'small' : 'full';
for (const [name, limit] of Object.entries(PARTS)) {
  if (name !== 'device' && !wanted.includes(name)) continue;
  const left = 60 * minutes - secondsSince(began);
  if (left < 1) {
    outcomes.push({ name, seconds: 0, findings: [], failure: 'not begun: the time was over' });
    continue;
  }
  const ceilings = found().find((finding) => finding.kind === 'ceilings')?.ceilings;
  const seconds = Math.min(left, size === 'small' ? SMALL_SECONDS : limit);
  const outcome = await start(name, { size, folder: output, ceilings }, seconds);
  outcomes.push(outcome);
  if (args.size === undefined && isSoftware()) size = 'small';
  process.stdout.write(`${name}: ${outcome.seconds.toFixed(0)} s, ${outcome.failure ?? 'done'}\n`);
  // Written again after each part, so that whatever stops the kit leaves what it had found.
  const text = report(outcomes, { size, seconds: secondsSince(began) });
  writeFileSync(join(output, 'report.md'), text);
  writeFileSync(join(output, 'card.json'), `${JSON.stringify({ size, outcomes }, null, 1)}\n`);
}
const failed = found().filter((finding) => finding.kind === 'check' && !finding.passed).length;
const broken = outcomes.filter(({ failure }) => failure !== undefined).length;
process.stdout.write(
  `${join(output, 'report.md')}: ${failed} checks failed, ${broken} parts did not end by themselves\n`,
);
process.exitCode = failed + broken > 0 ? 1 : 0;
