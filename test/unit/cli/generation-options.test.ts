import { describe, expect, test } from 'vitest';
import { scanArguments } from '../../../src/cli/arguments';
import { drawingNotices, GENERATION_FLAGS, generationOptions } from '../../../src/cli/commands/generate';
import type { GenerationConfig } from '../../../src/formats/generation-config';
import { openModel } from '../../../src/formats/model';
import { tinyModel } from '../recipes/support';

describe('how an answer is drawn', () => {
  const optionsOf = async (generationConfig: GenerationConfig, ...argv: string[]) => {
    const { args, problems } = scanArguments(argv, { flags: GENERATION_FLAGS, positionals: 0, runKeys: false });
    expect(problems).toEqual([]);
    return generationOptions(args, { ...(await openModel(await tinyModel())), generationConfig });
  };
  const neutral = { temperature: 0, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

  test('the likeliest token, where nobody says otherwise', async () => {
    expect(await optionsOf({})).toMatchObject(neutral);
  });

  test('as the model suggests: its penalty always, the rest where it draws', async () => {
    const suggested = { temperature: 0.6, topP: 0.8, topK: 20, minP: 0.05, repetitionPenalty: 1.1 };
    expect(await optionsOf({ doSample: true, ...suggested })).toMatchObject(suggested);
    expect(await optionsOf({ doSample: false, ...suggested })).toMatchObject({ ...neutral, repetitionPenalty: 1.1 });
  });

  test('flags come first', async () => {
    const flags = ['--min-p', '0.2', '--repetition-penalty', '1', '--temperature', '1'];
    const options = await optionsOf({ doSample: true, minP: 0.05, repetitionPenalty: 1.1 }, ...flags);
    expect(options).toMatchObject({ temperature: 1, minP: 0.2, repetitionPenalty: 1 });
  });

  test('flags that a greedy answer leaves out are named', async () => {
    const notices = async (...argv: string[]) => {
      const { args } = scanArguments(argv, { flags: GENERATION_FLAGS, positionals: 0, runKeys: false });
      return drawingNotices(args, await optionsOf({}, ...argv));
    };
    expect(await notices('--top-p', '0.9', '--top-k', '5')).toEqual([
      'The likeliest token is taken each time (temperature 0), without effect of --top-p, --top-k: add --temperature T.',
    ]);
    expect(await notices('--top-p', '0.9', '--temperature', '0.5')).toEqual([]);
    expect(await notices('--top-p', '1', '--min-p', '0', '--seed', '3')).toEqual([]);
  });

  test('impossible ones are refused', async () => {
    await expect(optionsOf({}, '--min-p', '2')).rejects.toThrow(/--min-p must be a number, from 0 to 1, but is "2"/);
    await expect(optionsOf({}, '--repetition-penalty', '0')).rejects.toThrow(/must be a number, above 0, but is "0"/);
  });
});
