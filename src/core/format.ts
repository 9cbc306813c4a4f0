/** Numbers as messages show them; the same on every machine. */

/** 1234567 as `1,234,567`. */
export function formatCount(n: number): string {
  // A browser takes as long for its first number in a language as for a page of them in this way.
  return Number.isSafeInteger(n) ? String(n).replace(/\B(?=(\d{3})+$)/g, ',') : n.toLocaleString('en-US');
}

/** `1 byte`, `1,024 bytes`: a count with its noun. */
export function plural(n: number, noun: string): string {
  return `${formatCount(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** The first characters of a text, at most so many units of UTF-16; one of two units is there whole or not at all. */
export function cut(text: string, most: number): string {
  return text.slice(0, most).replace(/[\ud800-\udbff]$/, '');
}

/** At most so many characters of a text, and … for the rest. */
export function shorten(text: string, most: number): string {
  return text.length > most ? `${cut(text, most)}…` : text;
}

/** Most characters of a value in a message. */
const QUOTED_LENGTH = 60;

/**
 * A value as a message quotes it: JSON, cut to a readable length. No more of the value is looked at than is shown, however
 * large or deep it is.
 */
export function quote(value: unknown): string {
  const text = writeStart(value, QUOTED_LENGTH);
  return text.length > QUOTED_LENGTH ? `${cut(text, QUOTED_LENGTH - 3)}…` : text;
}

/** The value as JSON; once that has more than `room` characters, what follows is left out. */
function writeStart(value: unknown, room: number): string {
  if (typeof value === 'string') return JSON.stringify(value.length > room ? value.slice(0, room + 1) : value);
  // JSON has no such numbers, but files do: 1e999 is Infinity once it is read.
  if (typeof value !== 'object' || value === null) return String(value);
  const isList = Array.isArray(value);
  let text = '';
  for (const key in value) {
    if (text.length > room) break;
    if (!Object.hasOwn(value, key)) continue;
    const item = (value as Record<string, unknown>)[key];
    const name = isList ? '' : `${writeStart(key, room)}:`;
    text += `${text === '' ? '' : ','}${name}${writeStart(item, room - text.length - 1)}`;
  }
  return isList ? `[${text}]` : `{${text}}`;
}

/** A share as a percentage of two digits: `0.13 %`. */
export function formatShare(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`;
}
