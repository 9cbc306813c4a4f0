/**
 * What one rendering may use up. A template is a program from a stranger, and nothing can interrupt it in JavaScript: so
 * it counts its own steps, the characters that it reads and those that it makes, and ends where they are too many.
 *
 * The largest conversations that models take have a million tokens, some five million characters, in some thousand
 * messages. Published templates take about a hundred steps a message, and look at each character some dozen times.
 */
import { JinjaError } from './errors';

/** Statements, turns of loops, operators, calls, items that a built-in goes through: these take about a second. */
const MAX_STEPS = 6_000_000;

/** Characters that built-ins look at. */
const MAX_READ = 2 ** 28;

/** Characters of texts that are made, each of which takes one or two bytes; joined texts share those of their parts. */
const MAX_MADE = 2 ** 26;

/** Characters of one text, however it came about. */
const MAX_LENGTH = 2 ** 25;

/** How much longer it takes to tell a text's characters apart than to look at them, where some have two units. */
export const COUNTING = 32;

class Fuel {
  steps = MAX_STEPS;
  read = MAX_READ;
  made = MAX_MADE;
}

/** Of the rendering that is under way: one ends before another begins, for none can be interrupted. */
let fuel = new Fuel();

/** Runs a rendering with fuel of its own. */
export function withFuel<T>(render: () => T): T {
  const outer = fuel;
  fuel = new Fuel();
  try {
    return render();
  } finally {
    fuel = outer;
  }
}

export function spendSteps(count = 1): void {
  if ((fuel.steps -= count) >= 0) return;
  throw new JinjaError(`it takes more than ${shown(MAX_STEPS)} steps, as if it went on for ever`, { exhausted: true });
}

/** Before a text of so many characters is looked at. */
export function spendReading(characters: number): void {
  if ((fuel.read -= characters) >= 0) return;
  throw new JinjaError(`it goes through more than ${shown(MAX_READ)} characters`, { exhausted: true });
}

/** Before a text of so many characters is made. */
export function spendText(characters: number): void {
  checkLength(characters);
  if ((fuel.made -= characters) >= 0) return;
  throw new JinjaError(`it makes more than ${shown(MAX_MADE)} characters of text`, { exhausted: true });
}

/** The sum of two texts: the longer one isn't copied. */
export function joinTexts(a: string, b: string): string {
  checkLength(a.length + b.length);
  spendText(Math.min(a.length, b.length));
  return a + b;
}

function checkLength(characters: number): void {
  if (characters <= MAX_LENGTH) return;
  throw new JinjaError(`it makes a text of more than ${shown(MAX_LENGTH)} characters`, { exhausted: true });
}

function shown(count: number): string {
  return count.toLocaleString('en-US');
}
