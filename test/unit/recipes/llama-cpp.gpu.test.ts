/** llama.cpp itself loads what we export, reads prompts as we do, and says the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FolderStore, openFolder } from '../../../src/cli/folders';
import { openEngine, type Engine } from '../../../src/engine';
import { openGguf } from '../../../src/formats/gguf';
import { openModel } from '../../../src/formats/model';
import { exportGguf, openGenerator } from '../../../src/recipes';
import { askLlama, hasLlama } from '../../llama/llama';
import { testGpu } from '../../support/gpu';
import { hasReference, reference } from '../../support/reference';

let engine: Engine;
const folder = mkdtempSync(join(tmpdir(), 'graft-llama-'));
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => {
  engine.destroy();
  rmSync(folder, { recursive: true, force: true });
});

const ANSWER = 32;
/** llama.cpp rounds what it multiplies quantised weights with to 8 bits: of two likely tokens it may take the other. */
const SURE = 8;
const MODELS = ['public/models/starter', ...(hasReference ? [reference('models/stories260K')] : [])];

describe.skipIf(!hasLlama)('an exported file in llama.cpp', () => {
  for (const path of MODELS) {
    it.each(['F32', 'Q8_0', 'Q4_K_M'] as const)(`says what Graft says (${path}, %s)`, async (type) => {
      const modelFiles = await openFolder(path);
      const model = await openModel(modelFiles);
      const file = `${type}.gguf`;
      await exportGguf({ model, modelFiles, store: new FolderStore(folder), file, type }, () => undefined);
      const conversation = { messages: [{ role: 'user', content: 'Tell me a story about a bird.' }] };
      const isAsked = model.template!.source !== 'alpaca';
      const texts = [
        'Once upon a time there was a',
        "She didn't know that it's 12 o'clock, naïve as she was.\n\nThen",
        ...(isAsked ? [model.template!.render(conversation, { addGenerationPrompt: true })] : []),
      ];
      const said = await askLlama(join(folder, file), texts, ANSWER);
      const opened = await openModel(await openGguf(await openFolder(folder), file));
      const generator = await openGenerator({ model: opened, engine, contextLength: 128 });
      try {
        for (const [i, text] of texts.entries()) {
          const ids = model.tokenizer!.encode(text, { addSpecialTokens: false });
          expect(said[i]!.prompt, text).toEqual(ids);
          const options = {
            maxNewTokens: ANSWER,
            temperature: 0,
            topP: 1,
            topK: 0,
            seed: 0,
            stop: [],
            useAdapter: false,
          };
          const answer = await generator.generate({ kind: 'tokens', ids }, options);
          const most = type === 'F32' || i === 0 ? ANSWER : SURE;
          expect(said[i]!.answer.slice(0, most), text).toEqual(answer.ids.slice(0, most));
        }
      } finally {
        generator.dispose();
      }
    });
  }
});
