/** What a template runs in: its names, its output, and what is told of the run. */
import type { TextSpan } from '../../core/text';
import { joinTexts } from './fuel';
import { Undefined, type Value } from './values';

/** Where text goes: the rendering itself, or a block whose text is kept for something else. */
export class Output {
  text = '';

  add(text: string): void {
    this.text = joinTexts(this.text, text);
  }

  constructor(readonly isMain: boolean) {}
}

/** One rendering. */
export interface Run {
  /** Line of the statement that runs. */
  line: number;
  /** Macros and recursive loops that are open. */
  depth: number;
  /** Where generation blocks are noted; undefined where nobody asks. */
  readonly generation: GenerationNotes | undefined;
}

/**
 * Generation blocks. One that prints to the rendering itself is known by its place; the text of one in a macro or in
 * kept text may go anywhere, so that marks must go with it.
 */
export interface GenerationNotes {
  readonly spans: TextSpan[];
  /** Whether some block printed elsewhere, without marks. */
  isIncomplete: boolean;
  /** Marks around every block, whose spans are then left to who reads them. */
  readonly marks: { readonly open: string; readonly close: string } | undefined;
}

/** A scope: an assignment stays in it, a name that it lacks is the parent's. */
export class Scope {
  readonly names = new Map<string, Value>();

  constructor(
    readonly parent: Scope | undefined,
    readonly out: Output,
    readonly run: Run,
  ) {}

  /** A scope within this one that prints to the same place. */
  inner(): Scope {
    return new Scope(this, this.out, this.run);
  }

  /** A scope within this one whose text is kept. */
  captured(): Scope {
    return new Scope(this, new Output(false), this.run);
  }

  root(): Scope {
    return this.parent ? this.parent.root() : this;
  }
}

export function findName(scope: Scope, name: string, globals: ReadonlyMap<string, Value>): Value {
  for (let at: Scope | undefined = scope; at; at = at.parent) {
    const value = at.names.get(name);
    if (value !== undefined) return value;
  }
  return globals.get(name) ?? new Undefined(() => `'${name}' is undefined`);
}
