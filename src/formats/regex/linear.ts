/**
 * Regular expressions in time linear in the text. From the end of the text to its begin, each step of the program is told
 * whether it can reach a match from there; going forward then never has to come back: at each choice the preferred way is
 * taken if it can be, which gives the very match that backtracking finds.
 */
import type { Condition, Program, Step } from './program';

/** A text as code points, and which choices can be made where. */
export class LinearMatcher {
  private readonly codes: Int32Array;
  /** Where each character begins in the text, in UTF-16 units, and where the last one ends. */
  private readonly offsets: Int32Array;
  private readonly conditions = new Map<Condition, Uint8Array>();
  /** For each choice and place, whether the preferred way reaches a match. */
  private readonly firstReaches: Bits;
  private readonly matches: Uint8Array;

  constructor(
    private readonly program: Program,
    text: string,
  ) {
    this.codes = new Int32Array(text.length);
    this.offsets = new Int32Array(text.length + 1);
    let count = 0;
    for (let at = 0; at < text.length; count++) {
      const code = text.codePointAt(at)!;
      this.codes[count] = code;
      this.offsets[count] = at;
      at += code > 0xffff ? 2 : 1;
    }
    this.codes = this.codes.subarray(0, count);
    this.offsets[count] = text.length;
    this.offsets = this.offsets.subarray(0, count + 1);
    this.firstReaches = new Bits(program.splits * (count + 1));
    this.matches = this.reachBackwards(program, this.firstReaches);
  }

  /** The first match from `from` on, in UTF-16 units. */
  find(from: number): { readonly start: number; readonly end: number } | undefined {
    const { offsets, matches } = this;
    for (let at = this.placeOf(from); at < offsets.length; at++) {
      if (matches[at]) return { start: offsets[at]!, end: offsets[this.follow(at)]! };
    }
    return undefined;
  }

  private placeOf(offset: number): number {
    let [low, high] = [0, this.offsets.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.offsets[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Where the match that begins at `at` ends. */
  private follow(at: number): number {
    const { steps } = this.program;
    const width = this.offsets.length;
    for (let step: Step = steps[this.program.start]!; ;) {
      switch (step.kind) {
        case 'match':
          return at;
        case 'set':
          at++;
          step = steps[step.next]!;
          break;
        case 'condition':
          step = steps[step.next]!;
          break;
        case 'split':
          step = steps[this.firstReaches.has(step.index * width + at) ? step.first : step.second]!;
      }
    }
  }

  /** For each place whether the program matches from there on; `firsts` gets what its choices can do. */
  private reachBackwards({ steps, start }: Program, firsts: Bits | undefined): Uint8Array {
    const { codes } = this;
    const width = codes.length + 1;
    const result = new Uint8Array(width);
    let later = new Uint8Array(steps.length);
    let reaches = new Uint8Array(steps.length);
    for (let at = codes.length; at >= 0; at--) {
      reaches.fill(0);
      const code = codes[at];
      // A step goes on with an earlier one, but for the choice that begins a loop: it is told in a second pass.
      for (let isChanged = true; isChanged;) {
        isChanged = false;
        for (let i = 0; i < steps.length; i++) {
          if (reaches[i]) continue;
          const step = steps[i]!;
          if (!this.reaches(step, at, code, reaches, later)) continue;
          reaches[i] = 1;
          isChanged = true;
        }
      }
      if (firsts) {
        for (const step of steps) {
          if (step.kind === 'split' && reaches[step.first]) firsts.add(step.index * width + at);
        }
      }
      result[at] = reaches[start]!;
      [later, reaches] = [reaches, later];
    }
    return result;
  }

  private reaches(step: Step, at: number, code: number | undefined, now: Uint8Array, later: Uint8Array): boolean {
    switch (step.kind) {
      case 'match':
        return true;
      case 'set':
        return code !== undefined && later[step.next] === 1 && step.set.has(code);
      case 'split':
        return now[step.first] === 1 || now[step.second] === 1;
      case 'condition':
        return now[step.next] === 1 && this.holds(step.condition, at);
    }
  }

  private holds(condition: Condition, at: number): boolean {
    if (condition.kind === 'edge') return this.isEdge(condition.edge, at);
    let known = this.conditions.get(condition);
    if (!known) {
      const { program, behind } = condition;
      known = behind ? this.reachForwards(program) : this.reachBackwards(program, undefined);
      this.conditions.set(condition, known);
    }
    return (known[at] === 1) !== condition.negated;
  }

  /** For each place whether the program matches what ends there, wherever that begins. */
  private reachForwards({ steps, start }: Program): Uint8Array {
    const { codes } = this;
    const result = new Uint8Array(codes.length + 1);
    let now = new Uint8Array(steps.length);
    let next = new Uint8Array(steps.length);
    const open: number[] = [];
    for (let at = 0; at <= codes.length; at++) {
      next.fill(0);
      now[start] = 1;
      for (let i = 0; i < steps.length; i++) if (now[i]) open.push(i);
      for (let i = open.pop(); i !== undefined; i = open.pop()) {
        const step = steps[i]!;
        const go = (to: number) => {
          if (now[to]) return;
          now[to] = 1;
          open.push(to);
        };
        if (step.kind === 'match') result[at] = 1;
        else if (step.kind === 'set') {
          if (at < codes.length && step.set.has(codes[at]!)) next[step.next] = 1;
        } else if (step.kind === 'split') {
          go(step.first);
          go(step.second);
        } else if (this.holds(step.condition, at)) go(step.next);
      }
      [now, next] = [next, now];
    }
    return result;
  }

  private isEdge(edge: '^' | '$' | '\\b' | '\\B', at: number): boolean {
    if (edge === '^') return at === 0;
    if (edge === '$') return at === this.codes.length;
    return (isWord(this.codes[at - 1]) !== isWord(this.codes[at])) === (edge === '\\b');
  }
}

/** JavaScript's `\w`. */
function isWord(code: number | undefined): boolean {
  return code !== undefined && code < 0x80 && /\w/.test(String.fromCharCode(code));
}

class Bits {
  private readonly words: Uint32Array;

  constructor(count: number) {
    this.words = new Uint32Array((count >> 5) + 1);
  }

  add(index: number): void {
    this.words[index >> 5]! |= 1 << (index & 31);
  }

  has(index: number): boolean {
    return ((this.words[index >> 5]! >> (index & 31)) & 1) === 1;
  }
}
