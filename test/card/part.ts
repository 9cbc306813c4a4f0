/** A part of the card kit in a process of its own: `node part.mjs NAME INPUT_JSON FINDINGS_FILE`. */
import { appendFileSync } from 'node:fs';
import { ceilings, kernels, peft, steps } from './parts/bench';
import { device } from './parts/device';
import { golden } from './parts/golden';
import { ops } from './parts/ops';
import { variants } from './parts/variants';
import type { Part, PartInput } from './types';

const PARTS: Readonly<Record<string, Part>> = { device, ops, variants, golden, ceilings, kernels, steps, peft };

const [name = '', input = '', file = ''] = process.argv.slice(2);
const part = PARTS[name];
if (!part) throw new Error(`there is no part ${name}`);
await part(JSON.parse(input) as PartInput, (finding) => appendFileSync(file, `${JSON.stringify(finding)}\n`));
// Dawn keeps threads of its own, so the process wouldn't end by itself.
process.exit(0);
