/**
 * Jinja as Transformers runs it for chat templates (`transformers/utils/chat_template_utils.py`): jinja2 3.1's immutable
 * sandbox with trimmed blocks, loop controls, the `generation` tag, and its own `tojson`, `raise_exception` and
 * `strftime_now`. A template is Python in all but name, so that values, comparison, printing and errors are Python's.
 */
import type { TextSpan } from '../../core/text';
import type { Statement } from './ast';
import { compileTemplate } from './compile';
import { JinjaError } from './errors';
import { withFuel } from './fuel';
import { strftimeNow } from './globals';
import { parseTemplate } from './parser';
import { Output, Scope, type GenerationNotes, type Run } from './scope';
import { strftime } from './strftime';
import type { Value } from './values';

export { JinjaError } from './errors';
export { strftime } from './strftime';

/** Unicode's noncharacters, two of which mark spans: text that means something has none. */
const NONCHARACTERS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

/** A compiled template. The constructor and its methods throw `JinjaError`s in jinja2's words or the template's own. */
export class JinjaTemplate {
  /** Whether the template says itself what the assistant generates. */
  readonly marksGeneration: boolean;
  /** Whether the template may ask for the time. */
  readonly readsClock: boolean;
  private readonly execute: (scope: Scope) => unknown;

  constructor(text: string) {
    this.readsClock = text.includes('strftime_now');
    const statements = explain(undefined, () => parseTemplate(text));
    checkNesting(statements);
    this.marksGeneration = hasGeneration(statements);
    this.execute = explain(undefined, () => compileTemplate(statements));
  }

  /** `now` is what `strftime_now` tells, in local time. */
  render(scope: Readonly<Record<string, unknown>>, now: Date): string {
    return this.run(scope, now, undefined);
  }

  /**
   * The text of the generation blocks within what `render` gives, in order. Throws where the template changes their
   * text afterwards, so that their place can't be told.
   */
  generationSpans(scope: Readonly<Record<string, unknown>>, now: Date): TextSpan[] {
    const notes: GenerationNotes = { spans: [], isIncomplete: false, marks: undefined };
    const text = this.run(scope, now, notes);
    return notes.isIncomplete ? this.spansByMarks(scope, now, text) : notes.spans;
  }

  private spansByMarks(scope: Readonly<Record<string, unknown>>, now: Date, rendered: string): TextSpan[] {
    const [open, close] = NONCHARACTERS.filter((character) => !rendered.includes(character));
    if (open === undefined || close === undefined) throw new JinjaError('the conversation is made of noncharacters');
    const marked = this.run(scope, now, { spans: [], isIncomplete: false, marks: { open, close } });
    const spans: TextSpan[] = [];
    const starts: number[] = [];
    let text = '';
    for (const part of marked.split(new RegExp(`([${open}${close}])`))) {
      if (part === open) starts.push(text.length);
      else if (part === close) spans.push({ start: starts.pop() ?? 0, end: text.length });
      else text += part;
    }
    if (text !== rendered) {
      throw new JinjaError('the template changes the text of its generation blocks, so that their place is lost');
    }
    return spans;
  }

  private run(
    variables: Readonly<Record<string, unknown>>,
    now: Date,
    generation: GenerationNotes | undefined,
  ): string {
    const run: Run = { line: 1, depth: 0, generation };
    const out = new Output(true);
    const scope = new Scope(undefined, out, run);
    if (this.readsClock)
      scope.names.set(
        'strftime_now',
        strftimeNow((format) => strftime(now, format)),
      );
    for (const name of Object.keys(variables)) {
      const value = variables[name];
      if (value !== undefined) scope.names.set(name, value as Value);
    }
    explain(run, () => withFuel(() => this.execute(scope)));
    return out.text;
  }
}

/** Gives an error its line, and words to what JavaScript says of text or nesting without end. */
function explain<T>(run: Run | undefined, action: () => T): T {
  try {
    return action();
  } catch (error) {
    let known = error;
    if (error instanceof RangeError) {
      const reason = error.message.includes('string length') ? 'the text is too long' : 'it is nested too deep';
      known = new JinjaError(reason);
    }
    if (known instanceof JinjaError) known.line ??= run?.line;
    throw known;
  }
}

/** Levels of a template's tree: chains as `a.b.c` and `a + b + c` grow it without brackets. Compiling goes into it by recursion. */
const MAX_TREE_DEPTH = 1500;

function checkNesting(statements: readonly Statement[]): void {
  const open: [unknown, number][] = [[statements, 0]];
  for (let entry = open.pop(); entry; entry = open.pop()) {
    const [node, depth] = entry;
    if (typeof node !== 'object' || node === null) continue;
    if (depth > MAX_TREE_DEPTH) throw new JinjaError('it is nested too deep');
    for (const value of Object.values(node)) open.push([value, depth + 1]);
  }
}

function hasGeneration(node: unknown): boolean {
  if (typeof node !== 'object' || node === null) return false;
  if (Array.isArray(node)) return node.some(hasGeneration);
  return (node as Partial<Statement>).kind === 'generation' || Object.values(node).some(hasGeneration);
}
