/**
 * Tokenizers against llama.cpp's vectors: a folder of `ggml-vocab-NAME.gguf` with `.inp` and `.out` beside it (llama.cpp's
 * `models/`), named by GRAFT_TOKENIZER_VECTORS. The vocabulary is read from the GGUF, or from NAME/tokenizer.json.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader, tokenizerOf } from '../../../src/formats/gguf';
import { openTokenizer, type HubTokenizer } from '../../../src/formats/tokenizer';
import { files, folder } from './support';

const path = process.env['GRAFT_TOKENIZER_VECTORS'] ?? '';
const found = path === '' ? [] : readdirSync(path);
const names = found.flatMap((file) => /^ggml-vocab-(.+)\.gguf\.inp$/.exec(file)?.[1] ?? []);

async function open(name: string): Promise<HubTokenizer | string> {
  if (existsSync(join(path, name, 'tokenizer.json'))) return (await openTokenizer(folder(join(path, name)), []))!;
  const file = `ggml-vocab-${name}.gguf`;
  if (!found.includes(file)) return 'no vocabulary';
  const source = files({ [file]: new Uint8Array(readFileSync(join(path, file))) });
  try {
    const { tokenizer, config } = tokenizerOf((await readGgufHeader(source, file)).metadata)!;
    return (await openTokenizer(files({ 'tokenizer.json': tokenizer, 'tokenizer_config.json': config }), []))!;
  } catch (error) {
    return (error as Error).message;
  }
}

describe.skipIf(names.length === 0)('the vectors of llama.cpp', () => {
  it.for(names)('%s', async (name, { skip }) => {
    const tokenizer = await open(name);
    if (typeof tokenizer === 'string') {
      console.log(`${name}: not run, ${tokenizer}`);
      return skip();
    }
    const texts = readFileSync(join(path, `ggml-vocab-${name}.gguf.inp`), 'utf8').split('\n__ggml_vocab_test__\n');
    const lines = readFileSync(join(path, `ggml-vocab-${name}.gguf.out`), 'utf8').split('\n');
    const wrong = texts.flatMap((text, i) => {
      const expected = lines[i]!.trim().replace(/\s+/g, ',');
      const ids = tokenizer.encode(text, { addSpecialTokens: false }).join();
      return ids === expected ? [] : [{ text, ids, expected }];
    });
    console.log(`${name}: ${texts.length - wrong.length} of ${texts.length}`);
    expect(wrong).toEqual([]);
  });
});
