import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hasReference, reference } from '../../support/reference';
import { graft } from './support';

const root = mkdtempSync(join(tmpdir(), 'graft-gguf-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const path = (name: string) => join(root, name);

describe.skipIf(!hasReference)('a GGUF file as the model', () => {
  test('gives the logits of the Hub folder, bit by bit', async () => {
    writeFileSync(path('ids.json'), JSON.stringify({ input_ids: [[1, 403, 407, 261, 378, 371, 265, 300]] }));
    copyFileSync(reference('models/stories260K/model-f32.gguf'), path('model.gguf'));
    const logits = async (model: string) => {
      const ended = await graft('forward', '--model', model, '--input', path('ids.json'), '--output', path('o'));
      expect(ended.code, ended.err).toBe(0);
      return readFileSync(path('o'));
    };
    const expected = await logits(reference('models/stories260K'));
    expect((await logits(path('model.gguf'))).equals(expected)).toBe(true);
  });
});
