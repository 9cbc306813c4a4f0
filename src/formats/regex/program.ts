/** Patterns as programs of a machine without memory: characters, choices in order of preference, and conditions. */
import { canBeEmpty, type Node } from './parse';

export type Step =
  | { readonly kind: 'set'; readonly set: CharacterSet; readonly next: number }
  /** `first` is preferred. */
  | { readonly kind: 'split'; first: number; second: number; readonly index: number }
  | { readonly kind: 'condition'; readonly condition: Condition; readonly next: number }
  | { readonly kind: 'match' };

export interface Program {
  readonly steps: readonly Step[];
  readonly start: number;
  /** How many steps are choices. */
  readonly splits: number;
}

/** What must hold at a place between two characters. */
export type Condition =
  | { readonly kind: 'edge'; readonly edge: '^' | '$' | '\\b' | '\\B' }
  | { readonly kind: 'look'; readonly program: Program; readonly behind: boolean; readonly negated: boolean };

/** Tells whether a character is in a class, by asking the class itself once for each. */
export class CharacterSet {
  /** 0 where it wasn't asked yet, 1 for no, 2 for yes. */
  private readonly known = new Uint8Array(0x10000);
  private readonly pattern: RegExp;

  constructor(source: string, flags: string) {
    this.pattern = new RegExp(`^(?:${source})$`, flags);
  }

  has(code: number): boolean {
    const known = code < 0x10000 ? this.known[code]! : 0;
    if (known > 0) return known === 2;
    const isIn = this.pattern.test(String.fromCodePoint(code));
    if (code < 0x10000) this.known[code] = isIn ? 2 : 1;
    return isIn;
  }
}

/** Steps that a pattern may have once its counts are written out. */
const MAX_STEPS = 4000;

/**
 * Undefined for a pattern that has too many steps, that refers to what it has matched, or that repeats what may be nothing
 * without an end, which engines understand in different ways.
 */
export function compileProgram(node: Node, flags: string, sets = new Map<string, CharacterSet>()): Program | undefined {
  const compiler = new Compiler(flags, sets);
  const start = compiler.add(node, compiler.push({ kind: 'match' }));
  return compiler.failed ? undefined : { steps: compiler.steps, start, splits: compiler.splits };
}

/** Builds from the end: each part is told which step follows it. */
class Compiler {
  readonly steps: Step[] = [];
  splits = 0;
  failed = false;

  constructor(
    private readonly flags: string,
    private readonly sets: Map<string, CharacterSet>,
  ) {}

  push(step: Step): number {
    if (this.steps.length >= MAX_STEPS) this.failed = true;
    else this.steps.push(step);
    return this.steps.length - 1;
  }

  /** The first step of a node that goes on with `next`. */
  add(node: Node, next: number): number {
    if (this.failed) return next;
    switch (node.kind) {
      case 'set': {
        let set = this.sets.get(node.source);
        if (!set) this.sets.set(node.source, (set = new CharacterSet(node.source, this.flags)));
        return this.push({ kind: 'set', set, next });
      }
      case 'sequence':
        return node.items.reduceRight((after, item) => this.add(item, after), next);
      case 'choice':
        return node.options
          .map((option) => this.add(option, next))
          .reduceRight((second, first) => this.split(first, second));
      case 'edge':
        return this.push({ kind: 'condition', condition: { kind: 'edge', edge: node.edge }, next });
      case 'look': {
        const program = compileProgram(node.item, this.flags, this.sets);
        if (!program) this.failed = true;
        const { behind, negated } = node;
        return program
          ? this.push({ kind: 'condition', condition: { kind: 'look', program, behind, negated }, next })
          : next;
      }
      case 'reference':
        this.failed = true;
        return next;
      case 'repeat':
        return this.repeat(node, next);
    }
  }

  private repeat({ item, least, most, lazy }: Extract<Node, { kind: 'repeat' }>, next: number): number {
    let start = next;
    if (most === Infinity) {
      if (canBeEmpty(item)) this.failed = true;
      const index = this.splits++;
      const split: Extract<Step, { kind: 'split' }> = { kind: 'split', first: next, second: next, index };
      start = this.push(split);
      const body = this.add(item, start);
      if (lazy) split.second = body;
      else split.first = body;
    } else {
      for (let i = least; i < most && !this.failed; i++) {
        const body = this.add(item, start);
        start = lazy ? this.split(next, body) : this.split(body, next);
      }
    }
    for (let i = 0; i < least && !this.failed; i++) start = this.add(item, start);
    return start;
  }

  private split(first: number, second: number): number {
    return this.push({ kind: 'split', first, second, index: this.splits++ });
  }
}
