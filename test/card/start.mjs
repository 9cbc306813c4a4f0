/**
 * `npm run card`: builds the card kit into dist/card and runs it. `npm run card -- --build` only builds it: the folder
 * runs with `node card.mjs` wherever Node and npm's `webgpu` are.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureModules, projectFolder } from '../../src/scripts/modules.mjs';

/** What others have computed, of the models that part `golden` compares: a few megabytes. */
const REFERENCES = [
  'models/stories260K',
  'golden/stories260K_logits.safetensors',
  'golden/stories260K_grads.safetensors',
  'golden/stories260K_forward.json',
  ...['llama3', 'qwen2', 'gemma3'].map((name) => `golden/families/${name}`),
];

ensureModules();
const { build } = await import('vite');
await build({
  root: projectFolder,
  configFile: join(projectFolder, 'vite.config.ts'),
  mode: 'card',
  logLevel: 'warn',
});
const kit = join(projectFolder, 'dist/card');
cpSync(join(projectFolder, 'test/bench/peft_step.py'), join(kit, 'peft_step.py'));
const references = process.env['GRAFT_REFERENCE'] ?? join(projectFolder, '../shared/reference');
for (const path of REFERENCES) {
  const from = join(references, path);
  if (existsSync(from)) cpSync(from, join(kit, 'reference', path), { recursive: true, dereference: true });
}
const args = process.argv.slice(2);
if (!args.includes('--build')) {
  const { status } = spawnSync(process.execPath, [join(kit, 'card.mjs'), ...args], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
