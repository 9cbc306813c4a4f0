import { createInterface } from 'node:readline/promises';
import { GraftError } from '../../core/errors';
import type { Message } from '../../core/text';
import { openGenerator, type TextGenerator } from '../../recipes';
import type { Command } from '../command';
import { openNodeEngine } from '../gpu';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG, modelArgument } from '../loading';
import { folderCache } from '../model-cache';
import { adapterArgument, storageArgument } from '../sources';
import type { Terminal } from '../terminal';
import { drawingNotices, GENERATION_FLAGS, generationOptions } from './generate';

const HELP = '/reset starts over, /base switches the adapter off and on, /exit ends';

export const chat: Command = {
  name: 'chat',
  summary: 'talk to a model, with and without its adapter',
  usage: '--model MODEL [--adapter DIR] [--system TEXT] [--temperature T] …',
  syntax: {
    positionals: 0,
    runKeys: false,
    flags: {
      model: MODEL_FLAG,
      adapter: ADAPTER_FLAG,
      system: { value: 'TEXT', help: 'the system message before the conversation' },
      ...GENERATION_FLAGS,
    },
  },
  async run(args, terminal, signal) {
    const model = await modelArgument(args, terminal, signal);
    const say = (line: string) => terminal.say(line);
    const adapter = await adapterArgument(args, say);
    const storage = await storageArgument(args, say);
    const cache = await folderCache(args, model, storage.load_in_4bit ?? false, terminal);
    const options = generationOptions(args, model);
    drawingNotices(args, options).forEach((notice) => terminal.say(notice));
    const contextLength = args.number('context', { least: 2, whole: true });
    const engine = await openNodeEngine(say);
    try {
      const opened = { model, engine, cache, adapter, storage, ...(contextLength !== undefined && { contextLength }) };
      const generator = await openGenerator(opened, loadingBar(terminal), signal);
      terminal.say(adapter ? HELP : HELP.replace(' /base switches the adapter off and on,', ''));
      const conversation = new Conversation(generator, args.text('system'), adapter !== undefined, terminal);
      // A prompt is no JSON.
      const lines = createInterface(
        terminal.json
          ? { input: process.stdin }
          : { input: process.stdin, output: process.stderr, terminal: process.stdin.isTTY },
      );
      signal.addEventListener('abort', () => lines.close());
      // Ctrl-C stops the answer under way, and ends the program where there is none.
      let answering: AbortController | undefined;
      lines.on('SIGINT', () => (answering ? answering.abort() : lines.close()));
      lines.setPrompt('> ');
      lines.prompt();
      for await (const line of lines) {
        if (line.trim() === '/exit' || signal.aborted) break;
        answering = new AbortController();
        const stop = AbortSignal.any([signal, answering.signal]);
        const ask: Ask = (messages, useAdapter, say) =>
          generator.generate({ kind: 'chat', messages }, { ...options, useAdapter }, say, stop);
        await conversation.answerLine(line.trim(), ask, () => signal.aborted);
        answering = undefined;
        lines.prompt();
      }
      lines.close();
    } finally {
      engine.destroy();
    }
  },
};

type Ask = (
  messages: readonly Message[],
  useAdapter: boolean,
  say: (piece: string) => void,
) => ReturnType<TextGenerator['generate']>;

/** The messages so far, and who answers. */
class Conversation {
  private messages: Message[];
  private useAdapter = true;

  constructor(
    private readonly generator: TextGenerator,
    private readonly system: string | undefined,
    private readonly hasAdapter: boolean,
    private readonly terminal: Terminal,
  ) {
    this.messages = this.opening();
  }

  /** A line of the user's: a command, or a message to answer. Where the program `isEnding`, an answer that was stopped ends it. */
  async answerLine(line: string, ask: Ask, isEnding: () => boolean): Promise<void> {
    if (line === '') return;
    if (line === '/reset') {
      this.messages = this.opening();
      return this.terminal.say('The conversation starts over');
    }
    if (line === '/base' && this.hasAdapter) {
      this.useAdapter = !this.useAdapter;
      return this.terminal.say(this.useAdapter ? 'The tuned model answers' : 'The base model answers');
    }
    if (line.startsWith('/')) return this.terminal.say(HELP);
    const messages: Message[] = [...this.messages, { role: 'user', content: line }];
    try {
      const answer = await ask(messages, this.useAdapter, (piece) => this.terminal.print(piece));
      this.terminal.print('\n');
      this.terminal.emit({
        role: 'assistant',
        content: answer.text,
        finish_reason: answer.finish,
        adapter: this.useAdapter && this.hasAdapter,
      });
      this.messages = [...messages, { role: 'assistant', content: answer.text }];
    } catch (error) {
      // A conversation that no longer fits, or an answer that was stopped, needn't end the program.
      if (!(error instanceof GraftError)) throw error;
      if (isEnding()) throw error;
      if (error.code === 'cancelled') this.terminal.say('\n(stopped; the conversation goes on without this answer)');
      else if (error.code === 'bad-config') this.terminal.say(`${error.message} (/reset starts over)`);
      else throw error;
    }
  }

  private opening(): Message[] {
    return this.system === undefined ? [] : [{ role: 'system', content: this.system }];
  }
}
