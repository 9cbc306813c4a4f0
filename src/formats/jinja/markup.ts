/** HTML's special characters, which the `escape` filter and what is joined to its results replace. */
import { replaceMatches } from './builder';
import { toText } from './printing';
import { Markup, type Value } from './values';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
};

export function escapeText(text: string): string {
  return replaceMatches(text, /[&<>'"]/g, ([character]) => ENTITIES[character]!);
}

/** The text of a value as it stands in markup: marked text as it is, anything else escaped. */
export function escapeMarkup(value: Value): string {
  return value instanceof Markup ? value.text : escapeText(toText(value));
}
