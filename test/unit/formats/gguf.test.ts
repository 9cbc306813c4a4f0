import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openGguf } from '../../../src/formats/gguf';
import { openModel } from '../../../src/formats/model';
import { memorySource } from '../../../src/formats/sources';
import { hasReference, reference } from '../../support/reference';
import { folder } from './support';
import type { WeightTensor } from '../../../src/core/weights';

async function drain(stream: AsyncIterable<WeightTensor>): Promise<Map<string, WeightTensor>> {
  const tensors = new Map<string, WeightTensor>();
  for await (const item of stream) tensors.set(item.name, item);
  return tensors;
}

describe.skipIf(!hasReference)('stories260K as GGUF', () => {
  it('has the spec, the tensors and the token ids of the Hub folder', async () => {
    const hub = await openModel(folder(reference('models', 'stories260K')));
    const bytes = new Uint8Array(readFileSync(reference('models/stories260K/model-f32.gguf')));
    const gguf = await openModel(memorySource('alone', { 'm.gguf': bytes }));
    expect(gguf.spec).toEqual(hub.spec);
    const expected = await drain(hub.weights());
    const tensors = await drain(gguf.weights());
    expect([...tensors.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, tensor] of tensors) {
      expect(tensor.shape, name).toEqual(expected.get(name)!.shape);
      expect(Buffer.from(tensor.bytes).equals(expected.get(name)!.bytes), name).toBe(true);
    }
    // The Hub folder's tokenizer.json puts no mark before a text that starts with a space; SentencePiece does.
    for (const text of ['Once upon a time, there was a girl', 'naïve  日本語 🙂\n\n.', '', 'a</s>']) {
      const ids = (model: typeof hub) => model.tokenizer!.encode(text, { addSpecialTokens: false });
      expect(ids(gguf), text).toEqual(ids(hub));
      expect(gguf.tokenizer!.decode(ids(gguf), { skipSpecialTokens: false })).toBe(
        hub.tokenizer!.decode(ids(hub), { skipSpecialTokens: false }),
      );
    }
    expect(gguf.tokenizer!.stopTokenIds).toEqual(hub.tokenizer!.stopTokenIds);
  });
});
