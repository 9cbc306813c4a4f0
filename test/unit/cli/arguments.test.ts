import { describe, expect, test } from 'vitest';
import { readArguments, type Syntax } from '../../../src/cli/arguments';
import { UsageError } from '../../../src/cli/usage';
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
      /There is no --learning_rat here; did you mean --learning_rate\?/,
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

  test('everything that is wrong is said at once', async () => {
    const wrong = () => read('--epoch', '3', '--foo', 'x', '--data', '--resume=1', 'a', 'b');
    await expectError(
      wrong,
      'bad-config',
      /no --epoch here; did you mean --num_train_epochs\?.*no --foo here; --help lists.*--data needs.*takes no value.*"b" is/,
    );
    expect(wrong).toThrow(UsageError);
  });

  test('suggestions know what other tools call a key, and stay silent where nothing is near', async () => {
    const cases: [written: string, meant: string][] = [
      ['--lr', 'learning_rate'],
      ['--batch_size', 'per_device_train_batch_size'],
      ['--epochs', 'num_train_epochs'],
      ['--rank', 'lora_r'],
      ['--max-seq-length', 'max_length'],
      ['--target-modules', 'lora_target_modules'],
      ['--lora-rr', 'lora_r'],
    ];
    for (const [written, meant] of cases) {
      await expectError(
        () => read(written, '1'),
        'bad-config',
        new RegExp(`no ${written} here; did you mean --${meant}\\?`),
      );
    }
    await expectError(() => read('--constructor', '1'), 'bad-config', /no --constructor here/);
    await expectError(() => read('--xyz', '1'), 'bad-config', /no --xyz here; --help lists what there is/);
  });

  test('a value may be what looks like a flag of one letter, and words after -- are no flags', () => {
    expect(read('--data', '-h').text('data')).toBe('-h');
    expect(read('-h').has('help')).toBe(true);
    expect(read('--', '--foo_bar').positionals).toEqual(['--foo_bar']);
  });

  test('numbers are checked', async () => {
    const number = (value: string) => read('--seeds', value).number('seeds', { least: 0, most: 9, whole: true });
    expect([number('0'), number('9'), read().number('seeds')]).toEqual([0, 9, undefined]);
    for (const wrong of ['1.5', '-1', '10', 'x', '', 'NaN']) {
      await expectError(() => number(wrong), 'bad-config', /--seeds must be a whole number, from 0 to 9, but is "/);
    }
    const above = (value: string) => read('--seeds', value).number('seeds', { above: 0 });
    expect(above('0.1')).toBe(0.1);
    await expectError(() => above('0'), 'bad-config', /--seeds must be a number, above 0, but is "0"/);
  });
});
