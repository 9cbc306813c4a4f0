/** A question to a server that speaks OpenAI's protocol, and its answer beside Graft's own. */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import type { Message } from '../core/text';

export interface ServedAnswer {
  readonly text: string;
  readonly promptTokens: number | undefined;
}

export interface ServedQuestion {
  readonly model: string;
  readonly messages: readonly Message[];
  readonly maxTokens: number;
}

/** The likeliest answer. @throws `storage` for what is no answer */
export async function askServer(
  url: string,
  { model, messages, maxTokens }: ServedQuestion,
  signal: AbortSignal,
): Promise<ServedAnswer> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages, temperature: 0, seed: 0, max_tokens: maxTokens }),
    signal,
  });
  const text = await response.text();
  const body = parseAnswer(text);
  const message = body?.choices?.[0]?.message;
  if (!response.ok || typeof message?.content !== 'string') {
    throw new GraftError('storage', `${url} answered ${response.status} with ${quote(text)}, and no answer.`);
  }
  // Servers may give the reasoning of a model apart from its answer.
  const reasoning = typeof message.reasoning_content === 'string' ? message.reasoning_content : '';
  const promptTokens = body?.usage?.prompt_tokens;
  return {
    text: reasoning + message.content,
    promptTokens: typeof promptTokens === 'number' ? promptTokens : undefined,
  };
}

interface Completion {
  readonly choices?: readonly {
    readonly message?: { readonly content?: unknown; readonly reasoning_content?: unknown };
  }[];
  readonly usage?: { readonly prompt_tokens?: unknown };
}

function parseAnswer(text: string): Completion | undefined {
  try {
    return JSON.parse(text) as Completion;
  } catch {
    return undefined;
  }
}

export type Agreement =
  | { readonly kind: 'same' }
  /** It begins the same, and goes on otherwise. */
  | { readonly kind: 'parts'; readonly sentence: string }
  | { readonly kind: 'other'; readonly sentence: string };

/** How a server's answer stands to Graft's: tags of reasoning aside, which servers take out. */
export function compareServed(own: { text: string; promptTokens: number }, served: ServedAnswer): Agreement {
  const { promptTokens } = served;
  if (promptTokens !== undefined && promptTokens !== own.promptTokens) {
    const sentence = `it reads the question as ${promptTokens} tokens, and Graft as ${own.promptTokens}`;
    return { kind: 'other', sentence: `${sentence}: its chat template, or BOS before it, is another` };
  }
  const [a, b] = [own.text, served.text].map((text) =>
    text
      .replace(/<\/?think>/g, '')
      .trim()
      .replace(/\s+/g, ' '),
  );
  if (a === b) return { kind: 'same' };
  let common = 0;
  while (common < Math.min(a!.length, b!.length) && a![common] === b![common]) common++;
  const shown = `${quote(b)} in place of ${quote(a)}`;
  // Whoever multiplies in other bits may take the other of two likely tokens, and goes on from there.
  if (common === 0 || !/\s/.test(a!.slice(0, common))) return { kind: 'other', sentence: `it says ${shown}` };
  return { kind: 'parts', sentence: `the first ${common} characters are the same, then it says ${shown}` };
}
