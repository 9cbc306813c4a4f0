/** PyTorch with PEFT, where there is one: peft_step.py runs the same step, in a process of its own. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Bench } from '../bench';
import type { Row } from '../report';

interface PeftRow {
  readonly model: string;
  readonly dtype: string;
  readonly mode: 'eager' | 'compiled';
  readonly milliseconds?: number;
  readonly tokens_per_second?: number;
  readonly skipped?: string;
}

interface PeftReport {
  readonly device?: string;
  readonly rows: readonly PeftRow[];
}

export interface PeftStep {
  readonly model: string;
  /** As the rows of the table say it. */
  readonly shape: string;
  readonly layers: number;
  readonly vocabulary: number;
  readonly tokens: number;
}

/** From dist/bench, where the benches are built to; the card kit has it beside itself. */
const SCRIPT = ['./peft_step.py', '../../test/bench/peft_step.py']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path))!;

const TIMEOUT_MS = 600_000;

/** Rows of the same step in PyTorch; none where the machine has no python3, torch, transformers or peft. */
export function peftRows(bench: Bench, { model, shape, layers, vocabulary, tokens }: PeftStep): void {
  const sizes = { model, layers, vocabulary, tokens };
  const args = Object.entries(sizes).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { status, stdout } = spawnSync('python3', [SCRIPT, '--json', ...args], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (status !== 0) return;
  const { device = '', rows } = JSON.parse(stdout) as PeftReport;
  for (const { dtype, mode, milliseconds, tokens_per_second: value, skipped } of rows) {
    const row: Row = { group: 'peer', name: `train PEFT ${mode}`, model, dtype, shape };
    bench.add(
      skipped === undefined ? { ...row, value, unit: 'tokens/s', milliseconds, note: device } : { ...row, skipped },
    );
  }
}
