import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { StandInHub } from '../../support/stand-in-hub';
import { tinyModel, tokenRows } from '../recipes/support';
import { startGraft } from './support';

let root: string;
let hub: StandInHub;
let commit: string;
const path = (...names: string[]) => join(root, ...names);

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-hub-run-'));
  hub = await StandInHub.start();
  const source = await tinyModel();
  const files: Record<string, Uint8Array> = {};
  for (const file of await source.list()) files[file] = await source.read(file);
  ({ commit } = hub.add('org/tiny', files));
  writeFileSync(path('rows.jsonl'), tokenRows(4));
});
afterAll(async () => {
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});

test('a run on a model of the Hub says everywhere which commit it was', async () => {
  hub.faults.push({ host: 'cdn', cutAt: 9000, times: 1 });
  const argv = ['train', '--model', 'org/tiny@main', '--data', path('rows.jsonl'), '--output', path('out')];
  const environment = { HF_ENDPOINT: hub.url, HF_HOME: root, GRAFT_CACHE: path('cache') };
  const { ended } = startGraft([...argv, '--max_steps', '1', '--lora_r', '2'], undefined, environment);
  const { code, err } = await ended;
  expect([code, err]).toEqual([0, expect.stringContaining('1 step in')]);
  const text = (file: string) => readFileSync(path('out', file), 'utf8');
  expect(text('run.yaml')).toContain(`model_name_or_path: org/tiny\nrevision: ${commit}\n`);
  expect(JSON.parse(text('adapter_config.json'))).toMatchObject({
    base_model_name_or_path: 'org/tiny',
    revision: commit,
  });
  expect(JSON.parse(text('graft.json'))).toMatchObject({ model_revision: commit });
  expect(text('README.md')).toContain(`from_pretrained("org/tiny", revision="${commit}")`);
  expect(text('README.md')).toContain('base_model: org/tiny\n');
});
