import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { formatSeconds, Terminal } from '../../../src/cli/terminal';
import { RUN_CONFIG_KEYS } from '../../../src/core/config';
import { tinyModel, tokenRows } from '../recipes/support';
import { runCommandLine } from '../../../src/cli/run';
import { jsonLines, runHere as graft } from './support';

let root: string;
let model: string;
const path = (name: string) => join(root, name);

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-messages-'));
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  model = root;
  const source = await tinyModel();
  for (const file of await source.list()) writeFileSync(path(file), await source.read(file));
  writeFileSync(path('rows.jsonl'), tokenRows(8));
  writeFileSync(path('bad.jsonl'), '{"input_ids": [1, 2, 3]}\n{"input_ids": [1, \n');
  writeFileSync(path('good.yaml'), 'lora_r: 4\n');
  writeFileSync(path('two.yaml'), 'lora_r: 4\n---\nlora_r: 8\n');
  writeFileSync(path('misspelt.yaml'), 'learning_rte: 1\n');
  symlinkSync(path('loop'), path('loop'));
  writeFileSync(path('ids.json'), '{"input_ids": [[1, 2], [1, "x"]]}');
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

describe('a mistake gets one clear line, and exit code 1, or 2 for a wrong call', () => {
  type Case = [what: string, argv: () => string[], line: RegExp, code?: 2];
  const cases: Case[] = [
    ['no such command', () => ['trian'], /no command trian; did you mean train\?/, 2],
    ['no such flag', () => ['generate', '--promt', 'x'], /There is no --promt here; did you mean --prompt\?/, 2],
    [
      'a seed of more than 32 bits',
      () => ['generate', '--model', 'starter', '--prompt', 'x', '--seed', '4294967296'],
      /--seed must be a whole number, from 0 to 4294967295, but is "4294967296"/,
      2,
    ],
    ['no such run file', () => ['train', path('none.yaml')], /There is no run file .*none\.yaml/],
    [
      'a misspelt key in the run file',
      () => ['train', path('misspelt.yaml')],
      /unknown key learning_rte.*learning_rate/,
    ],
    // The words of a call are wrong, or what they name is: 2 and 1.
    [
      'the same key, misspelt as a flag',
      () => ['train', path('good.yaml'), '--learning_rte', '1'],
      /There is no --learning_rte here; did you mean --learning_rate\?/,
      2,
    ],
    ['an impossible value', () => ['train', path('good.yaml'), '--lora_r', '0'], /lora_r must be a whole number/, 2],
    ['no such model', () => ['plan', '--model', 'nothing-here'], /There is no model nothing-here/],
    [
      'a Hub id',
      () => ['plan', '--model', 'some/model'],
      /HF_HUB_OFFLINE is set, and .* has no some\/model at revision main/,
    ],
    [
      'a model folder that is a file',
      () => ['plan', '--model', path('good.yaml')],
      /is a file; a model folder or a GGUF file \(\*\.gguf\) is expected/,
    ],
    [
      'a part of a model folder',
      () => ['plan', '--model', path('config.json')],
      /is a file; .* is expected: name the folder that holds it, \S*graft-messages-/,
    ],
    [
      'a misspelt run file',
      () => ['train', path('misspellt.yaml')],
      /There is no run file \S+: check its path, or name another file\. Did you mean \S+misspelt\.yaml\?/,
    ],
    [
      'a run file in no folder',
      () => ['train', path('nowhere/run.yaml')],
      /There is no run file \S+: there is no folder \S+nowhere\./,
    ],
    [
      'a misspelt built-in dataset',
      () => ['plan', '--model', model, '--data', 'title-fee'],
      /There is no dataset title-fee: .*a built-in one \(title-fees\)\. Did you mean title-fees\?/,
    ],
    [
      'rows that a file has not',
      () => ['data', 'show', 'title-fees', '--model', 'starter', '--rows', '7,200-210'],
      /There is no row 200 to show: title-fees\.jsonl has 111 rows\./,
      2,
    ],
    [
      'rows of nothing',
      () => ['data', 'show', path('rows.jsonl'), '--model', model, '--rows', '0'],
      /--rows must be rows such as 1-5 or 3,8, but is 0: rows are counted from 1/,
      2,
    ],
    [
      'answers in place of a file that is there',
      () => ['generate', '--model', model, '--input', path('rows.jsonl'), '--output', path('good.yaml')],
      /good\.yaml is there already: --overwrite replaces it, --output FILE writes elsewhere\./,
    ],
    [
      'a number with a comma',
      () => ['plan', '--model', model, '--learning_rate', '0,005'],
      /learning_rate must be a number above 0, but is "0,005": write it with a point, 0\.005\./,
      2,
    ],
    [
      'an output folder that is a file',
      () => ['train', '--model', model, '--data', path('rows.jsonl'), '--output', path('good.yaml')],
      /The folder \S+good\.yaml can't be made: there is a file of that name\. Name another one\./,
    ],
    [
      'an output folder in a file',
      () => ['train', '--model', model, '--data', path('rows.jsonl'), '--output', path('good.yaml/run')],
      /The folder \S+run can't be made: a part of its path is a file\. Name another one\./,
    ],
    ['no model', () => ['generate', '--prompt', 'x'], /--model is missing/, 2],
    [
      'no dataset',
      () => ['train', path('good.yaml'), '--model', model, '--output', path('out')],
      /The run has no dataset/,
      2,
    ],
    ['no such dataset', () => ['plan', '--model', model, '--data', 'nope.jsonl'], /There is no dataset nope\.jsonl/],
    [
      'a broken row',
      () => ['plan', '--model', model, '--data', path('bad.jsonl')],
      /bad\.jsonl: 1 of 2 rows .* row 2 is not valid JSON at line 2, column/,
    ],
    [
      'answers over their own questions',
      () => ['generate', '--model', model, '--input', path('rows.jsonl'), '--output', path('./rows.jsonl')],
      /--output \S+ is the input itself: name another file/,
      2,
    ],
    ...['1e309', 'Infinity', '-1'].map((value): Case => [
      `a temperature of ${value}`,
      () => ['generate', '--model', 'starter', '--prompt', 'x', '--temperature', value],
      /--temperature must be a number, 0 or more, but is/,
      2,
    ]),
    [
      'variables that are a list',
      () => ['generate', '--model', 'starter', '--prompt', 'x', '--chat-template-kwargs', '[1]'],
      /chat_template_kwargs must be a mapping of template variables/,
      2,
    ],
    [
      'an empty text to stop before',
      () => ['generate', '--model', 'starter', '--prompt', 'x', '--stop', ''],
      /--stop is an empty text/,
      2,
    ],
    ...[
      ['5-1', /but is 5-1: the first of a range is not above its last/] as const,
      ['0', /but is 0: rows are counted from 1/] as const,
      ['3,0-2', /but is 3,0-2: rows are counted from 1/] as const,
    ].map(([rows, line]): Case => [
      `the rows ${rows}`,
      () => ['data', 'show', path('rows.jsonl'), '--model', 'starter', '--rows', rows],
      line,
      2,
    ]),
    [
      'two run files in one',
      () => ['plan', path('two.yaml')],
      /two\.yaml holds several YAML documents, .* a run file is one/,
    ],
    [
      'a run file that is no text',
      () => ['plan', path('model.safetensors')],
      /The run file \S+model\.safetensors is a safetensors file; a text file in UTF-8 is expected/,
    ],
    [
      'texts that are no text',
      () => ['tokens', '--model', 'starter', '--input', path('model.safetensors')],
      /The input file \S+ is a safetensors file/,
    ],
    [
      'an impossible flag of the run file',
      () => ['plan', '--model', model, '--lora-r', '0'],
      /The command line: lora_r must be/,
      2,
    ],
    [
      'nothing to verify',
      () => ['verify', path('none.gguf'), '--model', model],
      /There is no file or folder \S+\/none\.gguf: check its path/,
    ],
    [
      'no such adapter',
      () => ['generate', '--model', model, '--prompt', 'x', '--adapter', path('none')],
      /There is no folder .*none/,
    ],
    [
      'a folder that is no adapter',
      () => ['generate', '--model', model, '--prompt', 'x', '--adapter', model],
      /no adapter_config\.json/,
    ],
    [
      'a system message without a template',
      () => ['generate', '--model', model, '--prompt', 'x', '--raw', '--system', 'y'],
      /--system is for the chat template, which --raw leaves out/,
      2,
    ],
    [
      'a system message beside a file of prompts',
      () => ['generate', '--model', model, '--input', path('rows.jsonl'), '--system', 'y'],
      /--system goes with --prompt: write the system message into the rows/,
      2,
    ],
    [
      'more epochs than anyone trains',
      () => ['plan', '--num_train_epochs', '1e30'],
      /above 0 and at most 1,000,000/,
      2,
    ],
    [
      'a run file that links to itself',
      () => ['plan', path('loop')],
      /loop can't be read: its links lead in a circle\./,
    ],
    ['no prompt', () => ['generate', '--model', model], /either --prompt TEXT or --input FILE/, 2],
    [
      'text for a model without a tokenizer',
      () => ['generate', '--model', model, '--prompt', 'x'],
      /no tokenizer\.json/,
    ],
    [
      'token ids that are none',
      () => ['forward', '--model', model, '--input', path('ids.json'), '--output', path('o')],
      /row 2 of input_ids/,
    ],
    [
      'an output folder that holds something',
      () => ['train', '--model', model, '--data', path('rows.jsonl'), '--output', model],
      /holds a run already: --resume .*--overwrite/,
    ],
    [
      "the model's own folder",
      () => ['train', '--model', model, '--data', path('rows.jsonl'), '--output', model, '--overwrite'],
      /the model's own folder/,
    ],
    [
      'both ways to write',
      () => ['train', path('good.yaml'), '--overwrite', '--resume', '--output', path('new')],
      /give one of them/,
      2,
    ],
    ['a budget that is no size', () => ['plan', '--model', model, '--budget', 'much'], /"much" is not a size/, 2],
    [
      'a budget into which nothing fits',
      () => ['plan', '--model', model, '--budget', '1kB'],
      /Nothing fits 1000 bytes/,
    ],
    [
      'settings that exclude each other',
      () => ['plan', '--model', model, '--load_in_4bit', 'true', '--use_peft', 'false'],
      /set use_peft: true/,
    ],
  ];
  for (const [what, argv, line, expected = 1] of cases) {
    test(what, async () => {
      const { code, out, err } = await graft(...argv());
      expect(err).toMatch(line);
      expect(err.trimEnd().split('\n')).toHaveLength(1);
      expect(err).not.toMatch(/\n\s+at /);
      expect([code, out]).toEqual([expected, '']);
    });
  }

  test('as an event too, with --json, on both streams', async () => {
    for (const argv of [
      ['plan', '--model', 'nothing-here', '--json'],
      ['--json', 'plan', '--model', 'nothing-here'],
    ]) {
      const { code, out, err } = await graft(...argv);
      expect(code).toBe(1);
      expect(JSON.parse(out)).toMatchObject({ kind: 'error', code: 'not-found' });
      expect(JSON.parse(err)).toMatchObject({ kind: 'error', code: 'not-found' });
    }
  });
});

describe('with --json every line of both streams is JSON', () => {
  const calls: readonly string[][] = [
    ['plan'],
    ['plan', '--data', 'title-fees', '--budget', '1GiB'],
    ['data', 'show', 'title-fees', '--model', 'starter', '--rows', '1-2'],
    ['data', 'render', 'title-fees', '--model', 'starter', '--rows', '1'],
    ['tokens', '--model', 'starter', 'a'],
    ['cache'],
    ['help'],
    ['help', 'train'],
    ['train', '--help'],
    ['--version'],
    ['trian'],
    ['train', '--nonsense'],
  ];
  for (const call of calls) {
    test(call.join(' '), async () => {
      const { out, err } = await graft(...call, '--json');
      expect(out + err).not.toBe('');
      for (const text of [out, err]) {
        if (text !== '') expect(jsonLines<unknown>(text).every((line) => typeof line === 'object')).toBe(true);
      }
    });
  }

  test('and no progress bar is drawn on a terminal', () => {
    let text = '';
    const terminal = new Terminal({ write: () => undefined }, { isTTY: true, write: (more) => (text += more) }, true);
    terminal.bar(0.5, 'of it');
    terminal.say('a line\nof two');
    terminal.hideBar();
    expect(jsonLines(text)).toEqual([{ kind: 'message', text: 'a line\nof two' }]);
  });
});

describe('without a GPU', () => {
  test('plan prints bytes by kind, for a person and for a program', async () => {
    const { code, out } = await graft('plan', '--model', 'test/fixtures/configs/TinyLlama-1.1B', '--json');
    const plan = JSON.parse(out) as { total_bytes: number; bytes: Record<string, number> };
    expect(code).toBe(0);
    expect(Object.keys(plan.bytes)).toEqual([
      'weights',
      'adapter',
      'gradients',
      'optimizer',
      'activations',
      'workspace',
    ]);
    expect(Object.values(plan.bytes).reduce((a, b) => a + b, 0)).toBe(plan.total_bytes);
    const { dispatches } = JSON.parse((await graft('plan', '--model', model, '--json', '--decode', '64')).out) as {
      dispatches: Record<string, number | Record<string, number>>;
    };
    const { train, update, evaluate, decode } = dispatches as { train: number; update: number; evaluate: number } & {
      decode: { base: number; tuned: number };
    };
    // An evaluation is a forward pass, a micro-batch that and more; an adapter adds products to a token.
    expect(update).toBeGreaterThan(0);
    expect(train).toBeGreaterThan(2 * evaluate);
    expect(decode.tuned).toBeGreaterThan(decode.base);
    expect((await graft('plan', '--model', model)).out).toContain(`dispatches: ${train} a micro-batch`);
    const person = await graft('plan', '--model', 'test/fixtures/configs/TinyLlama-1.1B');
    expect(person.out).toContain(plan.total_bytes.toLocaleString('en-US'));
  });

  test('plan pads rows to the lengths of the data', async () => {
    const bytes = async (...more: string[]) =>
      (JSON.parse((await graft('plan', '--model', model, '--json', ...more)).out) as { total_bytes: number })
        .total_bytes;
    expect(await bytes('--data', path('rows.jsonl'))).toBeLessThan(await bytes());
  });

  test('help names every command, its flags and the keys of the run file', async () => {
    expect((await graft()).out).toMatch(/train[^]*generate[^]*chat[^]*forward[^]*plan/);
    const { code, out } = await graft('train', '--help');
    expect(code).toBe(0);
    expect(out).toMatch(/--resume[^]*--learning_rate/);
    for (const same of [
      ['help', 'train'],
      ['train', '-h'],
      ['train', '--nonsense', '--help'],
    ]) {
      expect((await graft(...same)).out).toBe(out);
    }
    for (const version of ['--version', '-v']) expect((await graft(version)).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await graft('help', 'nonsense')).toMatchObject({ code: 2, out: '' });
  });

  test('help says what each flag and key may be, and what stands for an absent one', async () => {
    const help = async (command: string) => (await graft('help', command)).out.replaceAll(/\s+/g, ' ');
    expect(await help('export')).toMatch(/usage: .*\[--type TYPE\] \[--input FILE\]/);
    expect(await help('verify')).toContain('usage: graft verify PATH --model MODEL [--adapter DIR] [--input FILE]');
    const ofTrain = await help('train');
    expect(ofTrain).toContain(
      '--lr_scheduler_type How the learning rate falls after the warm-up. Takes one of cosine, linear,',
    );
    expect(ofTrain).toContain('polynomial (default: cosine)');
    expect(ofTrain).toContain(
      '--learning_rate Peak learning rate; absent, a tenth of the default where use_peft is false. Takes a number above 0 (default: 0.0002)',
    );
    expect(ofTrain).toContain('--output DIR the folder to write to (default: output)');
    const keys = Object.keys(RUN_CONFIG_KEYS);
    for (const key of keys) expect(ofTrain, key).toContain(`--${key} `);
    expect(await help('generate')).toMatch(
      /--max-new-tokens N [^(]*\(default: [^)]*256\).*--seed S [^(]*\(default: 0\)/,
    );
  });

  test('what begins with a dash can be a prompt', async () => {
    const { err } = await graft('generate', '--model', 'nothing-here', '--prompt', '-h');
    expect(err).toMatch(/There is no model nothing-here/);
  });

  test('plan without a model says that it plans the starter', async () => {
    const { code, err } = await graft('plan');
    expect([code, err]).toEqual([0, expect.stringMatching(/plans a run of the built-in starter/)]);
    expect((await graft('plan', '--model', 'starter')).err).toBe('');
  });

  test('a budget may be written as 8G, 8GB or 8GiB', async () => {
    const fits = async (size: string) => (await graft('plan', '--model', 'starter', '--budget', size)).out;
    expect(await fits('8G')).toContain('fits 8.00 GiB');
    expect(await fits('8GiB')).toContain('fits 8.00 GiB');
    expect(await fits('8GB')).toContain('fits 7.45 GiB');
  });
});

describe('the terminal', () => {
  test('shows a bar on a terminal only, within its width, and clears it before a line', () => {
    let text = '';
    const output = { isTTY: true, columns: 40, write: (more: string) => (text += more) };
    const terminal = new Terminal(output, output, false);
    terminal.bar(0.5, 'x'.repeat(99));
    expect(text.replace('\r\x1b[2K', '')).toHaveLength(39);
    terminal.say('done');
    expect(text).toMatch(/\r\x1b\[2Kdone\n$/); // eslint-disable-line no-control-regex
  });

  test('elsewhere a line on standard error now and then says how far a job is, as JSON with --json', () => {
    const report = (json: boolean) => {
      let text = '';
      let time = 0;
      const terminal = new Terminal(
        { write: () => expect.fail() },
        { write: (more) => (text += more) },
        json,
        () => time,
      );
      for (; time < 25_000; time += 500) terminal.bar(time / 50_000, 'of the weights');
      return text;
    };
    expect(report(false)).toBe('20 % of the weights\n40 % of the weights\n');
    const events = jsonLines<object>(report(true));
    expect(events).toHaveLength(24);
    expect(events[1]).toEqual({ kind: 'progress', part: 0.04, text: 'of the weights' });
  });

  describe('and what a model, a file or a name of a file brings along', () => {
    const hostile = 'a\x1b[31mred\x1b]0;title\x07\x9b2J\r\nb\tc\rd\x7f';
    const shown = 'a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\nb\tc\\x0dd\\x7f';
    const write = (isTTY: boolean, act: (terminal: Terminal) => void, json = false) => {
      let text = '';
      const output = { isTTY, columns: 200, write: (more: string) => (text += more) };
      act(new Terminal(output, output, json));
      return text;
    };

    test('is shown with its control characters escaped on a terminal and in messages; a result goes elsewhere as it is', () => {
      expect(write(true, (terminal) => terminal.print(hostile))).toBe(shown);
      expect(write(true, (terminal) => terminal.say(hostile))).toBe(`${shown}\n`);
      expect(write(true, (terminal) => terminal.bar(0, hostile))).toContain(shown);
      expect(write(false, (terminal) => terminal.print(hostile))).toBe(hostile);
      expect(write(false, (terminal) => terminal.say(hostile))).toBe(`${shown}\n`);
    });

    test('in an error, whatever it quotes', async () => {
      mkdirSync(path('hostile'));
      const config = { model_type: 'a\x1b[31m', architectures: ['b\x1b]0;title\x07', '\u202eevil'] };
      writeFileSync(path('hostile/config.json'), JSON.stringify(config));
      const { err } = await graft('plan', '--model', path('hostile'));
      expect(err).toContain(
        'has the architecture "b\\u001b]0;title\\u0007", "\\u202eevil" (model_type "a\\u001b[31m")',
      );
      const named = await graft('plan', '--model', 'x\x1b[31m');
      expect(named.err).toContain('There is no model x\\x1b[31m: name a folder');
    });

    test('means the same as JSON', () => {
      const onTerminal = write(true, (terminal) => terminal.emit({ hostile }), true);
      expect(onTerminal).toMatch(/^\P{Cc}*\n$/u);
      expect(JSON.parse(onTerminal)).toEqual({ hostile });
    });

    test('in a whole command, rows of a file', async () => {
      writeFileSync(path('hostile.jsonl'), JSON.stringify({ question: 'a\x1b[2Jb', answer: 'c' }));
      const show = async (isTTY: boolean) => {
        let text = '';
        const output = { isTTY, write: (more: string) => (text += more) };
        const argv = ['data', 'render', path('hostile.jsonl'), '--model', 'starter'];
        expect(await runCommandLine(argv, output, output, new AbortController().signal)).toBe(0);
        return text;
      };
      expect(await show(true)).toMatch(/^[^\x1b]*a\\x1b\[2Jb[^\x1b]*$/); // eslint-disable-line no-control-regex
      expect(await show(false)).toContain('a\x1b[2Jb');
    });
  });

  test('writes times as clocks do', () => {
    expect([0, 59.6, 65, 7207].map(formatSeconds)).toEqual(['0:00', '1:00', '1:05', '2:00:07']);
  });
});
