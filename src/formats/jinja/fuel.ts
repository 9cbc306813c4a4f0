/**
 * What one rendering may use up. A template is a program from a stranger, and nothing can interrupt it in JavaScript: so
 * it counts its own steps, the characters that it reads and those that it makes, and ends where they are too many. Each
 * limit alone takes about a second, and what is kept of the work stays below 200 MB.
 *
 * The largest conversations that models take have a million tokens, some five million characters, in some thousand
 * messages. Published templates take about a hundred steps a message, and look at each character some dozen times.
 */
import { JinjaError } from './errors';

/** Statements, turns of loops, operators, calls, items that a built-in goes through, some 150 ns each. */
const MAX_STEPS = 8_000_000;

/** Characters that the engine's own code looks at, some 4 ns each; what takes longer counts as several. */
const MAX_READ = 2 ** 28;

/** Characters of texts that are made, each of which takes one or two bytes; joined texts share those of their parts. */
const MAX_MADE = 2 ** 25;

/** Characters of one text, however it came about. */
const MAX_LENGTH = 2 ** 24;

/** How much longer it takes to change a character's case, or to ask for its kind, than to look at it. */
export const CHANGE = 8;

/** How much longer it takes to go through a text character by character than to look at it. */
export const WALK = 16;

/** Steps for an operator that does next to nothing: it asks for an attribute, or whether something is true. */
export const SMALL_STEP = 0.25;

/** Steps for each part that a text is cut into, which takes some 50 bytes. */
const PART = 4;

class Fuel {
  steps: number;
  read: number;
  made: number;

  constructor(share: number) {
    this.steps = MAX_STEPS * share;
    this.read = MAX_READ * share;
    this.made = MAX_MADE * share;
  }
}

/** What a rendering has used, as shares of what it may. */
export interface FuelUse {
  readonly steps: number;
  readonly read: number;
  readonly made: number;
}

/** Of the rendering that is under way: one ends before another begins, for none can be interrupted. */
let fuel = new Fuel(1);

let lastUse: FuelUse = { steps: 0, read: 0, made: 0 };

/** Runs a rendering with fuel of its own, a share of what one may use. */
export function withFuel<T>(render: () => T, share = 1): T {
  const outer = fuel;
  fuel = new Fuel(share);
  try {
    return render();
  } finally {
    const { steps, read, made } = fuel;
    lastUse = {
      steps: share - steps / MAX_STEPS,
      read: share - read / MAX_READ,
      made: share - made / MAX_MADE,
    };
    fuel = outer;
  }
}

/** What the last rendering used, however it ended. */
export function lastFuelUse(): FuelUse {
  return lastUse;
}

export function spendSteps(count = 1): void {
  if ((fuel.steps -= count) >= 0) return;
  throw new JinjaError(`it takes more than ${shown(MAX_STEPS)} steps, as if it went on for ever`, { exhausted: true });
}

/** Before a text is cut into so many parts more. */
export function spendParts(count = 1): void {
  spendSteps(PART * count);
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

export function checkLength(characters: number): void {
  if (characters <= MAX_LENGTH) return;
  throw new JinjaError(`it makes a text of more than ${shown(MAX_LENGTH)} characters`, { exhausted: true });
}

function shown(count: number): string {
  return count.toLocaleString('en-US');
}
