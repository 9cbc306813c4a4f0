/**
 * A chat template as Ollama's TEMPLATE, in Go's syntax. It is not translated but found out: conversations with marked
 * messages are rendered, what stands between the marks is the template's own, and a loop over the messages that puts it
 * there is written. Then both have to write the same for conversations of every kind.
 */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { ChatTemplate, Message } from '../../core/text';
import { renderGoTemplate } from './go-template';
import { differencesOf, sampleConversations } from './template-samples';
import { choose, commonEnd, commonStart, SYSTEM, writePiece } from './write-template';

export interface DescribedTemplate {
  /** For TEMPLATE, without BOS where the file makes Ollama put it there. */
  readonly text: string;
  /** What Ollama makes otherwise of some messages, a sentence each. */
  readonly notices: readonly string[];
}

/**
 * @param leadingBos the text of BOS where Ollama puts it before every prompt by itself
 * @throws `unsupported` with what the template does that Ollama's can't
 */
export function describeTemplate(template: ChatTemplate, leadingBos: string | undefined): DescribedTemplate {
  const shape = findShape(template);
  const text = writeLoop(withoutBos(shape, leadingBos));
  for (const messages of sampleConversations(shape.showsSystem)) {
    const own = template.render({ messages }, { addGenerationPrompt: true });
    const other = `${leadingBos ?? ''}${renderGoTemplate(text, messages)}`;
    if (own !== other)
      throw refusal(`to ${describeConversation(messages)} it would write ${showDifference(other, own)}`);
  }
  return { text, notices: differencesOf(template, text, leadingBos, shape.showsSystem) };
}

function refusal(what: string): GraftError {
  return new GraftError('unsupported', `The chat template can't be said as a TEMPLATE of Ollama: ${what}.`);
}

function describeConversation(messages: readonly Message[]): string {
  const turns = messages.filter(({ role }) => role === 'user').length;
  const system = messages[0]?.role === 'system' ? ' and a system message' : '';
  return `a conversation of ${turns === 1 ? 'one question' : `${turns} questions`}${system}`;
}

/** Characters of what two texts have in common that are shown before their difference. */
const SHOWN_BEFORE = 20;

/** Where two texts part, with a little of what comes before. */
export function showDifference(other: string, own: string): string {
  const common = commonStart(own, other).length;
  const from = common <= SHOWN_BEFORE ? 0 : common - SHOWN_BEFORE;
  return `${quote(other.slice(from))} in place of ${quote(own.slice(from))}`;
}

/** What a template writes before a question that another follows, and before the last. */
interface Openings {
  readonly early: string;
  readonly last: string;
}

/** What a template writes around messages: before the first question and before others, after questions, after answers. */
interface Shape {
  /** Without a system message, and with one. */
  readonly first: readonly [Openings, Openings];
  readonly next: readonly [Openings, Openings];
  readonly afterQuestion: string;
  readonly beforeAnswer: string;
  readonly afterAnswer: string;
  readonly prompt: string;
  readonly showsSystem: boolean;
}

const QUESTIONS = ['GRAFTASKSA', 'GRAFTASKSB', 'GRAFTASKSC'];
const ANSWERS = ['GRAFTSAYSA', 'GRAFTSAYSB'];
const SYSTEM_MARK = 'GRAFTRULES';

function marked(turns: number, system: boolean): Message[] {
  const messages: Message[] = system ? [{ role: 'system', content: SYSTEM_MARK }] : [];
  for (let turn = 0; turn < turns; turn++) {
    if (turn > 0) messages.push({ role: 'assistant', content: ANSWERS[turn - 1]! });
    messages.push({ role: 'user', content: QUESTIONS[turn]! });
  }
  return messages;
}

/** What stands before, between and after the marked questions and answers of a rendering. */
function gapsOf(text: string, messages: readonly Message[]): string[] {
  const gaps: string[] = [];
  let rest = text;
  for (const { role, content } of messages) {
    if (role === 'system') continue;
    const parts = rest.split(content!);
    if (parts.length !== 2) {
      const what = parts.length === 1 ? 'leaves out or changes' : 'repeats';
      throw refusal(`it ${what} a message of the ${role}, or puts messages in another order`);
    }
    gaps.push(parts[0]!);
    rest = parts[1]!;
  }
  return [...gaps, rest].map((gap) => gap.replaceAll(SYSTEM_MARK, SYSTEM));
}

/** The gaps of conversations of one, two and three questions, as what they are. */
interface Gaps {
  /** Before the question of a conversation that has no other, and before the first of several. */
  readonly only: string;
  readonly first: string;
  /** From an answer to a question that another follows, and to the last. */
  readonly back: string;
  readonly last: string;
  /** From a question to its answer, and to the answer that is asked for. */
  readonly answered: string;
  readonly asked: string;
}

function readGaps(render: (messages: Message[]) => string, system: boolean): Gaps {
  const [one, two, three] = [1, 2, 3].map((turns) => {
    const messages = marked(turns, system);
    return gapsOf(render(messages), messages);
  }) as [string[], string[], string[]];
  const [first, answered, back, , last, asked] = three as [string, string, string, string, string, string];
  const gaps = { only: one[0]!, first, back, last, answered, asked };
  const expected = [
    [gaps.only, asked],
    [first, answered, last, asked],
    [first, answered, back, answered, last, asked],
  ];
  [one, two, three].forEach((found, i) => {
    const at = found.findIndex((gap, place) => gap !== expected[i]![place]);
    if (at < 0) return;
    const where = at % 2 === 1 ? 'after a question' : at === 0 ? 'before the first question' : 'between two turns';
    const [seen, usual] = [found[at]!, expected[i]![at]!].map((gap) => quote(gap.replaceAll(SYSTEM, 'SYSTEM')));
    throw refusal(`what it writes ${where} depends on the turn, ${seen} or ${usual}`);
  });
  return gaps;
}

function findShape(template: ChatTemplate): Shape {
  const render = (messages: Message[], addGenerationPrompt = true) =>
    template.render({ messages }, { addGenerationPrompt });
  const plain = readGaps(render, false);
  const ruled = readWithSystem(render) ?? plain;
  for (const part of ['answered', 'asked', 'back'] as const) {
    if (part === 'back' || plain[part] === ruled[part]) continue;
    throw refusal('what it writes after a question depends on whether there is a system message');
  }
  const question = marked(1, false);
  const ending = (messages: Message[], mark: string) => tryRender(render, messages)?.split(mark).at(-1) ?? '';
  const afterAnswer = firstOf(
    [plain.back, plain.last, ruled.back, ruled.last],
    ending([...question, { role: 'assistant', content: ANSWERS[0]! }], ANSWERS[0]!),
    plain.back.slice(0, plain.back.length - commonEnd(plain.back, plain.first).length),
  );
  const afterQuestion = firstOf(
    [plain.answered, plain.asked],
    ending(question, QUESTIONS[0]!),
    afterAnswer,
    commonStart(plain.answered, plain.asked),
  );
  const next = ({ back, last }: Gaps): Openings => ({
    early: back.slice(afterAnswer.length),
    last: last.slice(afterAnswer.length),
  });
  const first = ({ first: early, only: last }: Gaps): Openings => ({ early, last });
  return {
    first: [first(plain), first(ruled)],
    next: [next(plain), next(ruled)],
    afterQuestion,
    beforeAnswer: plain.answered.slice(afterQuestion.length),
    afterAnswer,
    prompt: plain.asked.slice(afterQuestion.length),
    showsSystem: ruled !== plain,
  };
}

/** Undefined where the template refuses a system message, or has no place for one. */
function readWithSystem(render: (messages: Message[]) => string): Gaps | undefined {
  const one = tryRender(render, marked(1, true));
  return one?.includes(SYSTEM_MARK) ? readGaps(render, true) : undefined;
}

function tryRender(render: (messages: Message[], prompt?: boolean) => string, messages: Message[]): string | undefined {
  try {
    return render(messages, false);
  } catch (error) {
    if (error instanceof GraftError && error.code === 'bad-config') return undefined;
    throw error;
  }
}

/** The first that all of these begin with; else nothing. */
function firstOf(texts: readonly string[], ...candidates: readonly string[]): string {
  return candidates.find((candidate) => texts.every((text) => text.startsWith(candidate))) ?? '';
}

/** The same without BOS at its start. @throws `unsupported` where it begins with BOS in some conversations alone */
function withoutBos(shape: Shape, bos: string | undefined): Shape {
  if (bos === undefined) return shape;
  const strip = (text: string) => {
    if (text.startsWith(bos)) return text.slice(bos.length);
    throw refusal(`it begins with ${bos} in some conversations alone`);
  };
  const stripBoth = ({ early, last }: Openings): Openings => ({ early: strip(early), last: strip(last) });
  return { ...shape, first: [stripBoth(shape.first[0]), stripBoth(shape.first[1])] };
}

const BY_SYSTEM = '$.System';
const BY_LAST = '$last';

function writeLoop(shape: Shape): string {
  const { first, next, afterQuestion, beforeAnswer, afterAnswer, prompt } = shape;
  const [plain, ruled] = first.map((openings, i) => leadOf(openings, next[i]!));
  const isLed = plain !== undefined && ruled !== undefined;
  const byLast = ({ early, last }: Openings) => choose(BY_LAST, last, early);
  // A system message is a message, too: the first question comes after it.
  const [begun, ruledBegun] = first.map((openings, i) => choose(`eq $i ${i}`, byLast(openings), byLast(next[i]!)));
  const before = isLed ? choose(BY_SYSTEM, byLast(next[1]), byLast(next[0])) : choose(BY_SYSTEM, ruledBegun!, begun!);
  return [
    isLed ? writePiece(choose(BY_SYSTEM, ruled, plain)) : '',
    '{{ range $i, $_ := .Messages }}',
    JSON.stringify(before).includes(BY_LAST) ? `{{ ${BY_LAST} := eq (len (slice $.Messages $i)) 1 }}` : '',
    `{{ if eq .Role "user" }}${writePiece(before)}{{ .Content }}${writePiece(afterQuestion)}`,
    `{{ else if eq .Role "assistant" }}${writePiece(beforeAnswer)}{{ .Content }}${writePiece(afterAnswer)}`,
    `{{ end }}{{ end }}${writePiece(prompt)}`,
  ].join('');
}

/** What comes before the first question, where that is then begun as any other; else undefined. */
function leadOf(first: Openings, next: Openings): string | undefined {
  const lead = first.early.slice(0, first.early.length - next.early.length);
  const isLed = first.early === lead + next.early && first.last === lead + next.last;
  return isLed ? lead : undefined;
}
