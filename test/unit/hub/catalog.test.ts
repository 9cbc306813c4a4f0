import { describe, expect, test } from 'vitest';
import { elementCount } from '../../../src/core/dtypes';
import { parameters } from '../../../src/core/spec';
import { encodeUtf8 } from '../../../src/core/store';
import { FAMILIES } from '../../../src/formats/families';
import { readSpec } from '../../../src/formats/model';
import { memorySource } from '../../../src/formats/sources';
import { CATALOG, type CatalogEntry } from '../../../src/hub/catalog';
import { isRepoId } from '../../../src/hub/names';

/** Parameters by the papers' formulas, from the sizes alone. */
function countParameters({ config }: CatalogEntry): number {
  const size = (key: string) => config[key] as number;
  const [C, F, V, L] = ['hidden_size', 'intermediate_size', 'vocab_size', 'num_hidden_layers'].map(size) as [
    number,
    number,
    number,
    number,
  ];
  const heads = size('num_attention_heads');
  const D = (config['head_dim'] as number | undefined) ?? C / heads;
  const [Q, K] = [heads * D, size('num_key_value_heads') * D];
  const type = config['model_type'] as string;
  const isGemma = type.startsWith('gemma');
  const biases = type === 'qwen2' ? Q + 2 * K : 0;
  const headNorms = type === 'qwen3' || type === 'gemma3_text' ? 2 * D : 0;
  const norms = (isGemma ? 4 : 2) * C + headNorms;
  const layer = 2 * C * Q + 2 * C * K + biases + 3 * C * F + norms;
  const tied = config['tie_word_embeddings'] ?? isGemma;
  return V * C * (tied ? 1 : 2) + L * layer + C;
}

describe('the catalogue', () => {
  for (const entry of CATALOG) {
    test(`${entry.id} has the parameters that its sizes make`, async () => {
      expect(isRepoId(entry.id)).toBe(true);
      expect(countParameters(entry)).toBe(entry.parameters);
      const bytesPerParameter = entry.downloadBytes / entry.parameters;
      expect(bytesPerParameter).toBeGreaterThan(1.99);
      expect(bytesPerParameter).toBeLessThan(2.6);
      if (!FAMILIES.some(({ modelType }) => modelType === entry.config['model_type'])) return;
      const config = encodeUtf8(JSON.stringify(entry.config));
      const spec = await readSpec(memorySource(entry.id, { 'config.json': config }));
      const count = parameters(spec).reduce((sum, { shape }) => sum + elementCount(shape), 0);
      expect(count).toBe(entry.parameters);
    });
  }

  test('goes from the smallest to the largest, each once', () => {
    const sizes = CATALOG.map((entry) => entry.parameters);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    expect(new Set(CATALOG.map(({ id }) => id)).size).toBe(CATALOG.length);
  });
});
