/** Where the contents of a conversation's messages lie in the text that a chat template makes of it. */
import { contentOf, type ChatTemplate, type Conversation } from '../core/text';

/** The content of one message, without the white space around it. Offsets are UTF-16 units of the rendered text. */
export interface ContentPlace {
  /** Undefined where the template doesn't show how the content begins, or where the message has none. */
  readonly start?: number;
  /** After its last character; undefined where the template doesn't show how it ends. */
  readonly end?: number;
}

/**
 * Unicode's noncharacters tag both ends of each content: a digit for each hexadecimal one of the message's place, closed
 * by a character that no digit is. Text that means something has none of them.
 */
const [START, END, CLOSE, DIGITS] = ['\ufdd0', '\ufdd1', '\ufdd2', 0xfdd3] as const;
const TAG = /([\ufdd0\ufdd1])([\ufdd3-\ufde2]+)\ufdd2/g;
const NONCHARACTER = /[\ufdd0-\ufdef]/;

/**
 * One place for each message, in their order. The contents are rendered a second time with tags at their ends; a
 * template that makes something else of tagged contents is searched for them instead.
 */
export function locateContents(conversation: Conversation, template: ChatTemplate, rendered: string): ContentPlace[] {
  return locateByTags(conversation, template, rendered) ?? locateBySearch(conversation, rendered);
}

function locateByTags(
  conversation: Conversation,
  template: ChatTemplate,
  rendered: string,
): ContentPlace[] | undefined {
  if (NONCHARACTER.test(rendered)) return undefined;
  const messages = conversation.messages.map((message, i) => {
    const content = contentOf(message);
    const core = content.trim();
    if (core === '') return message;
    const from = content.indexOf(core);
    const tagged = tag(START, i) + core + tag(END, i);
    return { ...message, content: content.slice(0, from) + tagged + content.slice(from + core.length) };
  });
  let text: string;
  try {
    text = template.render({ ...conversation, messages }, { addGenerationPrompt: false });
  } catch {
    return undefined;
  }
  const places = conversation.messages.map((): { start?: number; end?: number } => ({}));
  let plain = '';
  let read = 0;
  for (const found of text.matchAll(TAG)) {
    plain += text.slice(read, found.index);
    read = found.index + found[0].length;
    const place = places[placeOf(found[2]!)];
    // Where a content is shown more than once, the last one is in the message's own turn.
    if (place) place[found[1] === START ? 'start' : 'end'] = plain.length;
  }
  return plain + text.slice(read) === rendered ? places : undefined;
}

function tag(kind: string, place: number): string {
  const digits = [...place.toString(16)].map((digit) => String.fromCharCode(DIGITS + parseInt(digit, 16)));
  return kind + digits.join('') + CLOSE;
}

function placeOf(digits: string): number {
  return parseInt([...digits].map((digit) => (digit.charCodeAt(0) - DIGITS).toString(16)).join(''), 16);
}

/** Each content is the first of its wording after the one before; a system message may stand anywhere. */
function locateBySearch({ messages }: Conversation, rendered: string): ContentPlace[] {
  let from = 0;
  return messages.map((message): ContentPlace => {
    const core = contentOf(message).trim();
    if (core === '') return {};
    const isSystem = message.role === 'system';
    const start = rendered.indexOf(core, isSystem ? 0 : from);
    if (start < 0) return {};
    if (!isSystem) from = start + core.length;
    return { start, end: start + core.length };
  });
}

/** Whether the text holds all of the content, white space aside: templates move and trim it. */
export function holdsContent(text: string, content: string): boolean {
  const core = content.trim();
  return text.includes(core) || withoutSpace(text).includes(withoutSpace(core));
}

/** Whether the text holds the content in some spelling: as it is, or as JSON writes it (`message.content | tojson`). */
export function showsContent(text: string, content: string): boolean {
  return holdsContent(text, content) || text.includes(JSON.stringify(content).slice(1, -1));
}

export function withoutSpace(text: string): string {
  return text.replace(/\s+/g, '');
}
