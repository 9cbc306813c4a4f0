import { describe, expect, test } from 'vitest';
import { readArguments, type Syntax } from '../../../src/cli/arguments';
import { expectError } from '../recipes/support';

const syntax: Syntax = {
  positionals: 1,
  runKeys: true,
  flags: {
    data: { value: 'FILE', help: '' },
    stop: { value: 'TEXT', help: '', multiple: true },
    resume: { help: '' },
    seeds: { value: 'N', help: '' },
  },
};
const read = (...argv: string[]) => readArguments(argv, syntax);

describe('arguments', () => {
  test('flags, switches, words, and keys of the run file with either dash', () => {
    const args = read(
      'run.yaml',
      '--data',
      'x.jsonl',
      '--resume',
      '--learning_rate',
      '2e-3',
      '--lora-r=8',
      '--shuffle',
      'false',
    );
    expect(args.positionals).toEqual(['run.yaml']);
    expect([args.text('data'), args.has('resume'), args.has('json')]).toEqual(['x.jsonl', true, false]);
    expect(args.overrides).toEqual({ learning_rate: '2e-3', lora_r: '8', shuffle: 'false' });
  });

  test('values that begin with a dash, hold equal signs or are empty', () => {
    const args = read('--max_steps', '-1', '--stop', 'a=b', '--stop=', '--stop', '-');
    expect(args.overrides).toEqual({ max_steps: '-1' });
    expect(args.all('stop')).toEqual(['a=b', '', '-']);
  });

  test('a key of the run file alone means true; the next flag is no value', () => {
    expect(read('--use_dora', '--resume').overrides).toEqual({ use_dora: 'true' });
  });

  test('a switch takes no word that follows', () => {
    expect(read('--resume', 'run.yaml').positionals).toEqual(['run.yaml']);
  });

  test('a flag that there is not is refused with the nearest', async () => {
    await expectError(
      () => read('--learning_rat', '1'),
      'bad-config',
      /--learning-rat here; did you mean --learning-rate\?/,
    );
    await expectError(() => read('--resum'), 'bad-config', /did you mean --resume\?/);
    await expectError(() => read('-x'), 'bad-config', /There is no -x/);
    await expectError(
      () => readArguments(['--lora-r', '8'], { ...syntax, runKeys: false }),
      'bad-config',
      /no --lora-r here/,
    );
  });

  test('what is missing, double or too much is refused by name', async () => {
    await expectError(() => read('--data'), 'bad-config', /--data needs a value: --data FILE/);
    await expectError(() => read('--data', '--resume'), 'bad-config', /--data needs a value/);
    await expectError(() => read('--resume=yes'), 'bad-config', /--resume takes no value/);
    await expectError(() => read('--data', 'a', '--data', 'b'), 'bad-config', /--data is given twice/);
    await expectError(() => read('a.yaml', 'b.yaml'), 'bad-config', /"b.yaml" is one word too many/);
    await expectError(() => read().required('data', 'name a file'), 'bad-config', /--data is missing: name a file/);
  });

  test('numbers are checked', async () => {
    const number = (value: string) => read('--seeds', value).number('seeds', { least: 0, most: 9, whole: true });
    expect([number('0'), number('9'), read().number('seeds')]).toEqual([0, 9, undefined]);
    for (const wrong of ['1.5', '-1', '10', 'x', '', 'NaN']) {
      await expectError(() => number(wrong), 'bad-config', /--seeds must be a whole number, from 0 to 9, but is "/);
    }
  });
});
