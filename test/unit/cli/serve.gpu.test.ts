/** `graft serve`: a server is found, started, waited for, asked and held against Graft, and ends with it. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareServed } from '../../../src/cli/ask-server';
import { graft, jsonLines, startGraft } from './support';

let root: string;
const path = (...names: string[]) => join(root, ...names);
const QUESTION = { role: 'user', content: 'How do I get a fee back?' };

/** What Graft itself answers with the file. */
let own: { output: string; prompt_tokens: number };

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-serve-'));
  for (const name of ['llama-server', 'ollama']) {
    mkdirSync(path(name));
    copyFileSync('test/support/stand-in-server.mjs', path(name, name));
    chmodSync(path(name, name), 0o755);
  }
  writeFileSync(path('rows.jsonl'), `${JSON.stringify({ messages: [QUESTION] })}\n`);
  const gguf = await graft(
    'export',
    '--model',
    'starter',
    '--format',
    'gguf',
    '--type',
    'F32',
    '--output',
    path('m.gguf'),
  );
  expect(gguf.code, gguf.err).toBe(0);
  const flags = ['--format', 'ollama', '--type', 'F32', '--output', path('folder')];
  const folder = await graft('export', '--model', 'starter', ...flags);
  expect(folder.code, folder.err).toBe(0);
  const asked = ['--prompt', QUESTION.content, '--max-new-tokens', '32', '--json'];
  own = jsonLines<typeof own>((await graft('generate', '--model', path('m.gguf'), ...asked)).out)[0]!;
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** `node` itself stays on PATH, and nothing of the machine that runs the tests. */
const environment = (program: string | undefined, standIn: object) => ({
  PATH: [...(program === undefined ? [] : [path(program)]), dirname(process.execPath), '/usr/bin', '/bin'].join(
    delimiter,
  ),
  STAND_IN: JSON.stringify(standIn),
});

interface Serving {
  kind: string;
  url: string;
  pid: number;
  agreement: { kind: string };
  question: object[];
}

/** Runs until it says that it serves, and then what is to be done with it. */
async function serve(
  program: string | undefined,
  standIn: object,
  argv: readonly string[],
  whileServed: (serving: Serving) => Promise<void> = () => Promise.resolve(),
) {
  let serving: Serving | undefined;
  const { child, ended } = startGraft(
    ['serve', ...argv, '--input', path('rows.jsonl'), '--json'],
    (line) => {
      const event = JSON.parse(line) as Serving;
      if (event.kind !== 'serving') return;
      serving = event;
      if (event.agreement.kind !== 'other') void whileServed(event).finally(() => child.kill('SIGINT'));
    },
    environment(program, standIn),
  );
  return { ...(await ended), serving };
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('graft serve', () => {
  test('starts llama-server, waits until it has loaded, and finds that it answers as Graft does', async () => {
    const log = path('llama.log');
    let status = 0;
    const standIn = { answer: `${own.output}\n`, promptTokens: own.prompt_tokens, loads: 2, log };
    const { code, err, serving } = await serve('llama-server', standIn, [path('m.gguf')], async ({ url }) => {
      status = (await fetch(url.replace('/v1', '/health'))).status;
    });
    expect(code, err).toBe(130);
    expect(status).toBe(200);
    expect(serving).toMatchObject({ agreement: { kind: 'same' }, question: [QUESTION] });
    expect(isAlive(serving!.pid)).toBe(false);
    const [argv, question] = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(argv).toEqual(
      expect.arrayContaining(['--model', path('m.gguf'), '--ctx-size', '512', '--host', '127.0.0.1']),
    );
    expect(question).toMatchObject({ messages: [QUESTION], temperature: 0 });
  });

  test('makes the model of a Modelfile in Ollama, and asks that', async () => {
    const log = path('ollama.log');
    const standIn = { answer: own.output, promptTokens: own.prompt_tokens, log };
    const { code, err, serving } = await serve('ollama', standIn, [path('folder')]);
    expect(code, err).toBe(130);
    expect(serving!.agreement.kind).toBe('same');
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    expect(lines.slice(0, 2)).toEqual([
      JSON.stringify(['serve']),
      JSON.stringify(['create', 'folder', '-f', path('folder', 'Modelfile')]),
    ]);
    expect(JSON.parse(lines[2]!)).toMatchObject({ model: 'folder' });
  });

  test.each([
    [{ answer: 'Nonsense.' }, /llama-server doesn't answer as Graft does: to ".*" it says "Nonsense\." in place of "/],
    [
      { promptTokens: 99 },
      /it reads the question as 99 tokens, and Graft as \d+: its chat template, or BOS before it, is another/,
    ],
  ])('ends with 1 where the server answers otherwise (%j)', async (fault, message) => {
    const standIn = { answer: own.output, promptTokens: own.prompt_tokens, ...fault };
    const { code, out, serving } = await serve('llama-server', standIn, [path('m.gguf')]);
    expect(code).toBe(1);
    expect(jsonLines<{ message?: string }>(out).at(-1)!.message).toMatch(message);
    expect(isAlive(serving!.pid)).toBe(false);
  });

  test('says what a program said that ends as it starts', async () => {
    const { code, out } = await serve('llama-server', { crash: 'error: unknown argument: --jinja' }, [path('m.gguf')]);
    expect(code).toBe(1);
    expect(jsonLines<{ message: string }>(out).at(-1)!.message).toBe(
      'llama-server ended with 1; it said: error: unknown argument: --jinja',
    );
  });

  test.each([
    [undefined, () => [path('m.gguf')], /^There is no llama-server on PATH: install llama\.cpp/],
    [undefined, () => [path('folder')], /^There is no ollama and no llama-server on PATH: install Ollama/],
    [
      'ollama',
      () => [path('m.gguf'), '--with', 'ollama'],
      /has no Modelfile, which Ollama needs: export the model with/,
    ],
    ['ollama', () => [path('rows.jsonl')], /rows\.jsonl is nothing that llama\.cpp or Ollama serve: name a GGUF file/],
    ['ollama', () => [path('no.gguf')], /^There is no file or folder .*no\.gguf: check its path/],
  ] as const)('says before anything is loaded what is missing (%s)', async (program, argv, message) => {
    const { code, out, err } = await serve(program, {}, argv());
    expect(code).toBe(1);
    expect(jsonLines<{ message: string }>(out).at(-1)!.message).toMatch(message);
    expect(err).not.toContain('GPU:');
  });

  test('takes no other port than the one that is named', async () => {
    const taken = createServer();
    const port = await new Promise<number>((done) => {
      taken.listen(0, '127.0.0.1', () => done((taken.address() as { port: number }).port));
    });
    const { code, out } = await serve('llama-server', {}, [path('m.gguf'), '--port', String(port)]);
    taken.close();
    expect([code, jsonLines<{ message: string }>(out).at(-1)!.message]).toEqual([
      1,
      `Port ${port} is not free: name another with --port.`,
    ]);
  });
});

describe('an answer of a server beside that of Graft', () => {
  const ours = { text: '<think>\nTen.\n</think>\n\nIt is ten dollars.', promptTokens: 12 };

  test.each([
    [{ text: 'Ten. It is  ten dollars.\n', promptTokens: 12 }, 'same'],
    [{ text: 'Ten. It is ten dollars.', promptTokens: undefined }, 'same'],
    [{ text: 'Ten. It is ten cents.', promptTokens: 12 }, 'parts'],
    [{ text: 'Eleven.', promptTokens: 12 }, 'other'],
    [{ text: 'Ten. It is ten dollars.', promptTokens: 13 }, 'other'],
  ])('%j', (served, kind) => {
    expect(compareServed(ours, served).kind).toBe(kind);
  });
});
