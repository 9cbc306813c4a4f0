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
 * What tags both ends of each content: a digit for each hexadecimal one of the message's place, closed by a character
 * that no digit is.
 */
interface Tags {
  readonly start: string;
  readonly end: string;
  readonly close: string;
  /** The character of the digit 0; the others follow it. */
  readonly zero: number;
  readonly pattern: RegExp;
}

/** Unicode's noncharacters, which no text that means something has, then private ones. */
const TAGS = [0xfdd0, 0xe000, 0xe400, 0xf000].map((first): Tags => {
  const [start = '', end = '', close = '', zero = '', last = ''] = [0, 1, 2, 3, 18].map((i) =>
    String.fromCharCode(first + i),
  );
  return {
    start,
    end,
    close,
    zero: first + 3,
    pattern: new RegExp(`([${start}${end}])([${zero}-${last}]+)${close}`, 'g'),
  };
});

/** Tags of which the text has no character. */
function chooseTags(text: string): Tags | undefined {
  return TAGS.find(({ start, zero }) => !new RegExp(`[${start}-${String.fromCharCode(zero + 15)}]`).test(text));
}

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
  const tags = chooseTags(rendered);
  if (!tags) return undefined;
  const messages = conversation.messages.map((message, i) => {
    const content = contentOf(message);
    const core = content.trim();
    if (core === '') return message;
    const from = content.indexOf(core);
    const tagged = tag(tags, tags.start, i) + core + tag(tags, tags.end, i);
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
  for (const found of text.matchAll(tags.pattern)) {
    plain += text.slice(read, found.index);
    read = found.index + found[0].length;
    const place = places[placeOf(tags, found[2]!)];
    // Where a content is shown more than once, the last one is in the message's own turn.
    if (place) place[found[1] === tags.start ? 'start' : 'end'] = plain.length;
  }
  return plain + text.slice(read) === rendered ? places : undefined;
}

function tag({ close, zero }: Tags, kind: string, place: number): string {
  const digits = [...place.toString(16)].map((digit) => String.fromCharCode(zero + parseInt(digit, 16)));
  return kind + digits.join('') + close;
}

function placeOf({ zero }: Tags, digits: string): number {
  return parseInt([...digits].map((digit) => (digit.charCodeAt(0) - zero).toString(16)).join(''), 16);
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

/** Whether the text holds all of the content, but for white space beside tags (`<think>`): templates move and trim that. */
export function holdsContent(text: string, content: string): boolean {
  const core = content.trim();
  return text.includes(core) || withoutSpace(text).includes(withoutSpace(core));
}

/** Whether the text holds the content in some spelling: as it is, or as JSON writes it (`message.content | tojson`). */
export function showsContent(text: string, content: string): boolean {
  return holdsContent(text, content) || text.includes(JSON.stringify(content).slice(1, -1));
}

/** A text without the white space at its ends and beside tags. */
export function withoutSpace(text: string): string {
  return text.trim().replace(/\s*(<[^<>\n]{1,40}>)\s*/g, '$1');
}
