import { basename } from 'node:path';
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { Message } from '../../core/text';
import { servedName } from '../../formats/serving';
import { MODELFILE, readPrompts, serverOptions } from '../../recipes';
import type { Arguments } from '../arguments';
import { askServer, compareServed } from '../ask-server';
import type { Command } from '../command';
import { openNodeEngine } from '../gpu';
import { readInput } from '../input';
import { ADAPTER_FLAG, loadingBar } from '../loading';
import { findProgram, freePort, ModelServer } from '../model-server';
import { answerHere, openServed, runOfFolder, type ServedModel } from '../served-model';
import { adapterFolder, datasetFile } from '../sources';
import { UsageError } from '../usage';

const PROGRAMS = { 'llama.cpp': 'llama-server', ollama: 'ollama' } as const;
type Program = keyof typeof PROGRAMS;

/** Tokens of the answer that is compared. */
const ANSWER = 32;
const QUESTION = 'Tell me about the sea in one sentence.';

export const serve: Command = {
  name: 'serve',
  summary: 'serve an exported model with llama.cpp or Ollama, and check that it answers as Graft does',
  usage: 'PATH [--adapter RUN_DIR] [--input FILE] [--with llama.cpp|ollama] [--port N] [--context N]',
  syntax: {
    positionals: 1,
    runKeys: false,
    flags: {
      adapter: {
        ...ADAPTER_FLAG,
        help: 'the run that the model was made from: its variables of the chat template, and a question of its data',
      },
      input: {
        value: 'FILE',
        help: 'rows as generate reads them: the first is asked',
        default: "the run's data, else a question of Graft's own",
      },
      with: { value: 'PROGRAM', help: 'llama.cpp (llama-server) or ollama', default: 'the one that is installed' },
      port: { value: 'N', help: 'where it listens on this computer', default: 'the first that is free from 8080 on' },
      context: {
        value: 'N',
        help: 'tokens of a conversation at most',
        default: "the Modelfile's, else what the model reads, up to 8192",
      },
    },
  },
  async run(args, terminal, signal) {
    const [path] = args.positionals;
    if (path === undefined) throw new UsageError('Name what to serve: graft serve FILE.gguf, or a folder for Ollama.');
    const say = (line: string) => terminal.say(line);
    const wanted = args.number('port', { least: 1, most: 65_535, whole: true });
    const port = wanted === undefined ? await freePort(8080) : await freePort(wanted, 1);
    const context = args.number('context', { least: 2, whole: true });
    const run = await runOfFolder(await adapterFolder(args, say, signal));
    const served = await openServed(path, run);
    const { program, file } = await chooseProgram(args, served);
    const asked = await questionOf(args, run?.dataset, signal);
    const isOllama = program === 'ollama';
    // Ollama says the Modelfile's system message by itself.
    const hasSystem = asked[0]?.role === 'system';
    const own: Message[] =
      isOllama && !hasSystem && served.system !== undefined
        ? [{ role: 'system', content: served.system }, ...asked]
        : [...asked];
    if (!isOllama && served.system !== undefined)
      say('llama-server knows no SYSTEM: send that of the Modelfile as the first message.');
    const engine = await openNodeEngine(say);
    const answer = await answerHere(served, own, ANSWER, engine, loadingBar(terminal), signal).finally(() =>
      engine.destroy(),
    );

    const url = `http://127.0.0.1:${port}`;
    const name = servedName(path.replace(/\.gguf$/i, ''));
    const options = serverOptions(served.model, run);
    const server = isOllama
      ? new ModelServer('Ollama', file, ['serve'], { OLLAMA_HOST: `127.0.0.1:${port}` })
      : new ModelServer('llama-server', file, [
          ...['--model', served.file, ...(served.adapterFile === undefined ? [] : ['--lora', served.adapterFile])],
          ...['--alias', name, '--host', '127.0.0.1', '--port', String(port), '--jinja'],
          ...['--ctx-size', String(context ?? served.contextLength ?? Math.min(served.model.spec.maxPositions, 8192))],
          ...options,
        ]);
    try {
      say(`${isOllama ? 'Ollama' : 'llama-server'} is starting (${file}) …`);
      const isReady = async () => (await fetch(`${url}${isOllama ? '/api/version' : '/health'}`, { signal })).ok;
      await server.waitUntil(isReady, signal);
      if (isOllama) {
        const environment = { OLLAMA_HOST: `127.0.0.1:${port}` };
        await new ModelServer(
          'ollama create',
          file,
          ['create', name, '-f', `${path}/${MODELFILE}`],
          environment,
        ).finish(signal);
      }
      const said = await askServer(url, { model: name, messages: asked, maxTokens: ANSWER }, signal);
      const agreement = compareServed(answer, said);
      terminal.emit({
        kind: 'serving',
        url: `${url}/v1`,
        program,
        pid: server.pid,
        model: name,
        agreement,
        question: asked,
        answer: said.text,
      });
      if (agreement.kind === 'other') {
        throw new GraftError(
          'bad-file',
          `${server.name} doesn't answer as Graft does: to ${quote(asked.at(-1)!.content)} ${agreement.sentence}.`,
        );
      }
      const same =
        agreement.kind === 'same'
          ? `as Graft does: ${quote(said.text)}`
          : `nearly as Graft does: ${agreement.sentence}`;
      say(`It answers ${same}.`);
      say(`${name} is served under ${url}/v1 until Ctrl-C.`);
      await server.watch(signal);
    } finally {
      await server.stop();
    }
  },
};

/** The program and its path: the one that is asked for, else the one at home with such a path, else the other. */
async function chooseProgram(
  args: Arguments,
  { path, isForOllama }: ServedModel,
): Promise<{ program: Program; file: string }> {
  const given = args.text('with');
  const known = Object.keys(PROGRAMS) as Program[];
  if (given !== undefined && !known.some((program) => program === given)) {
    throw new UsageError(`--with must be one of ${known.join(', ')}, but is ${JSON.stringify(given)}.`);
  }
  // Without a Modelfile Ollama would have to guess the template.
  const usable: readonly Program[] = isForOllama ? ['ollama', 'llama.cpp'] : ['llama.cpp'];
  const wanted = given === undefined ? usable : usable.filter((program) => program === given);
  for (const program of wanted) {
    const file = await findProgram(PROGRAMS[program]);
    if (file !== undefined) return { program, file };
  }
  if (wanted.length === 0) {
    throw new GraftError(
      'unsupported',
      `${path} has no Modelfile, which Ollama needs: export the model with --format ollama.`,
    );
  }
  const names = wanted.map((program) => PROGRAMS[program]);
  throw new GraftError(
    'not-found',
    `There is no ${names.join(' and no ')} on PATH: install ${isForOllama && given === undefined ? 'Ollama (ollama.com) or llama.cpp (llama-server)' : given === 'ollama' ? 'Ollama (ollama.com)' : 'llama.cpp (its llama-server)'}, and run this again.`,
  );
}

/** A conversation to ask: of `--input`, else of the run's data where they can be read, else Graft's own. */
async function questionOf(
  args: Arguments,
  dataset: string | undefined,
  signal: AbortSignal,
): Promise<readonly Message[]> {
  const input = args.text('input');
  const rows =
    input !== undefined
      ? await readPrompts(basename(input), await readInput(input, 'file of prompts', signal), false)
      : await rowsOf(dataset, signal);
  for (const { prompt } of rows) if (prompt.kind === 'chat' && !prompt.tools) return prompt.messages;
  if (input !== undefined)
    throw new GraftError('bad-data', `${basename(input)} has no row that is a conversation to answer.`);
  return [{ role: 'user', content: QUESTION }];
}

/** Of a dataset that is not here any more, none. */
async function rowsOf(dataset: string | undefined, signal: AbortSignal): ReturnType<typeof readPrompts> {
  if (dataset === undefined) return [];
  try {
    const { name, bytes } = await datasetFile(dataset, signal);
    return await readPrompts(name, bytes, false, () => undefined);
  } catch (error) {
    if (error instanceof GraftError && error.code !== 'cancelled') return [];
    throw error;
  }
}
