/** What has no end, or claims a size that nothing has: refused in a sentence, before memory runs out. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { encodeUtf8 } from '../../../src/core/store';
import { writeSafetensors } from '../../../src/formats/safetensors';
import { StandInHub } from '../../support/stand-in-hub';
import { runHere as graft } from './support';

let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'graft-endless-'))));
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

const ENDLESS = /^graft: The .* goes on after .* MiB, and no more is read of what doesn't say how long it is: save/;

describe.skipIf(!existsSync('/dev/zero'))('a device without an end', () => {
  test.each([
    ['a dataset', ['plan', '--model', 'starter', '--data', '/dev/zero']],
    ['a text', ['tokens', '--model', 'starter', '--input', '/dev/zero']],
    ['prompts', ['generate', '--model', 'starter', '--input', '/dev/zero']],
    ['a run file', ['plan', '/dev/zero']],
    ['a template', ['plan', '--model', 'starter', '--chat_template_path', '/dev/zero']],
  ])('is refused as %s', async (_, argv) => {
    const { code, err } = await graft(...argv);
    expect([code, err]).toEqual([1, expect.stringMatching(ENDLESS)]);
  });

  test.each([
    ['a dataset', 'data show - --model starter'],
    ['a run file', 'plan -'],
    ['prompts', 'generate --model starter --input -'],
  ])('is refused as %s from a pipe, within little memory', (_, argv) => {
    const limited = `yes | "$0" --max-old-space-size=64 dist/cli/graft.js ${argv}`;
    const { stderr } = spawnSync('sh', ['-c', limited, process.execPath], { encoding: 'utf8', timeout: 30_000 });
    expect(stderr).toMatch(ENDLESS);
  });
});

test('a file that is larger than can be read is refused by its size', async () => {
  const path = join(root, 'large');
  writeFileSync(path, 'lora_r: 4\n');
  truncateSync(path, 30e9); // a hole: it takes no room
  const limit = { settings: '16.0 MiB', text: '511 MiB', rows: '2.0 GiB' };
  for (const [most, argv] of [
    [limit.settings, ['plan', path]],
    [limit.text, ['tokens', '--model', 'starter', '--input', path]],
    [limit.rows, ['data', 'show', path, '--model', 'starter']],
  ] as const) {
    const { code, err } = await graft(...argv);
    expect([code, err]).toEqual([
      1,
      expect.stringContaining(`${path} has 30,000,000,000 bytes; more than ${most} are not read: split it`),
    ]);
  }
});

test('files of a Hub that are listed with sizes which nothing has are refused by those', async () => {
  const hub = await StandInHub.start();
  try {
    for (const [name, value] of Object.entries({ HF_HOME: root, GRAFT_CACHE: root, HF_ENDPOINT: hub.url }))
      vi.stubEnv(name, value);
    const config = { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q_proj'] };
    const files = {
      'adapter_config.json': encodeUtf8(JSON.stringify(config)),
      'adapter_model.safetensors': writeSafetensors([], {}),
    };
    const ask = async (id: string) => {
      const { code, err } = await graft('generate', '--model', 'starter', '--prompt', 'hi', '--adapter', id);
      expect(code).toBe(1);
      return err;
    };
    for (const [i, size] of [6e9, Number.MAX_SAFE_INTEGER].entries()) {
      hub.add(`org/large-${i}`, files, { listedSizes: { 'adapter_model.safetensors': size } });
      expect(await ask(`org/large-${i}`)).toMatch(
        /adapter_model\.safetensors of org\/large-.* has .* bytes; an adapter of more/,
      );
    }
    hub.add('org/config', files, { listedSizes: { 'adapter_config.json': 6e9 } });
    expect(await ask('org/config')).toMatch(/adapter_config\.json has 6,000,000,000 bytes: too large to be/);
    // One that could be: nothing is set aside for it before it comes.
    hub.add('org/short', files, { listedSizes: { 'adapter_model.safetensors': 3e9 } });
    const before = process.memoryUsage().arrayBuffers;
    expect(await ask('org/short')).toMatch(/which is listed with 3,000,000,000: the copy there is damaged/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e9);
  } finally {
    await hub.close();
  }
});
