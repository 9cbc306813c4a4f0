/**
 * Regular expressions of strangers, on texts of strangers. JavaScript's engine tries one way after another, which for
 * `(a+)+$` takes twice as long with each letter, and nothing can interrupt it. So a pattern that it could go astray on is
 * matched in linear time instead; on all others the engine is as good as ever, and a few dozen times faster.
 */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { costOf } from './cost';
import { LinearMatcher } from './linear';
import { parseRegex } from './parse';
import { compileProgram, type Program } from './program';

/** Characters of a pattern with its counts written out: beyond it the engine itself runs out of memory. */
const MAX_SIZE = 20_000;

/** On shorter texts a loop whose turns are tried again takes no time that counts. */
const SHORT_TEXT = 2000;

/** A run of so many characters that such a loop goes through makes it slow: the engine may try as many ways from each. */
const LONG_RUN = 500;

/** Most places times choices of a text that is matched in linear time: a bit each, 64 MB. */
const MAX_BITS = 2 ** 29;

/** How a pattern is matched. */
interface Plan {
  readonly program: Program | undefined;
  /** Tells of a long text whether the engine would be slow on it; undefined where it is fast on all. */
  readonly longRun: RegExp | undefined;
  /** Whether the engine may be asked at all. */
  readonly isSafe: boolean;
}

const plans = new Map<string, Plan>();

/** @throws `unsupported` for a pattern that could take for ever and can't be matched otherwise */
function planOf(source: string, flags: string): Plan {
  const key = `${flags}/${source}`;
  const known = plans.get(key);
  if (known) return known;
  const refuse = (why: string) =>
    new GraftError('unsupported', `the regular expression ${quote(source)} ${why}, so that it could take for ever`);
  const node = parseRegex(source);
  if (!node) throw refuse('is written in a way that Graft does not read');
  const cost = costOf(node);
  if (cost.size > MAX_SIZE) throw refuse('repeats too much');
  const isSafe = !cost.nested && cost.retries <= 1;
  const program = isSafe && cost.retries === 0 ? undefined : compileProgram(node, flags);
  if (!program && !isSafe) {
    throw refuse(cost.refers ? 'refers to what it has matched' : 'repeats what it repeats, which may be nothing');
  }
  const runs = [...new Set(cost.retried)].map((set) => `(?:${set}){${LONG_RUN}}`);
  const longRun = runs.length > 0 ? new RegExp(runs.join('|'), flags) : undefined;
  const plan = { program, longRun, isSafe };
  // A process sees the patterns of a few models.
  if (plans.size > 1000) plans.clear();
  plans.set(key, plan);
  return plan;
}

/** On names of some dozens of characters so many loops in a row may be tried again. */
const MAX_RETRIES_ON_NAMES = 4;

/** Whether the engine itself is fast with a pattern on texts of some dozens of characters. */
export function isSafeOnNames(source: string): boolean {
  const node = parseRegex(source);
  const cost = node && costOf(node);
  return cost !== undefined && !cost.nested && cost.retries <= MAX_RETRIES_ON_NAMES && cost.size <= MAX_SIZE;
}

/** A regular expression, with the flags `g` and `u` or `y` at most, that takes time linear in the text. */
export class SafeRegExp extends RegExp {
  private readonly plan: Plan;
  private readonly engine: RegExp;
  private last: { readonly text: string; readonly matcher: LinearMatcher | undefined } | undefined;

  constructor(pattern: RegExp | string, flags?: string) {
    super(pattern, flags);
    this.plan = planOf(this.source, this.flags.replace(/[gy]/g, ''));
    this.engine = new RegExp(this.source, this.flags);
  }

  /** What to match this text with: the engine alone where it is safe, for going through `exec` takes it several times as long. */
  forText(text: string): RegExp {
    if (!this.plan.program) return this.engine;
    this.choose(text);
    return this.last?.matcher ? this : this.engine;
  }

  /** @throws `unsupported` for a text that is too long to be matched in linear time */
  override exec(text: string): RegExpExecArray | null {
    this.choose(text);
    const matcher = this.last?.matcher;
    if (!matcher) return super.exec(text);
    const isKept = this.global || this.sticky;
    const found = matcher.find(isKept ? this.lastIndex : 0);
    if (!found || (this.sticky && found.start !== this.lastIndex)) {
      if (isKept) this.lastIndex = 0;
      return null;
    }
    if (isKept) this.lastIndex = found.end;
    const match = [text.slice(found.start, found.end)] as unknown as RegExpExecArray;
    match.index = found.start;
    match.input = text;
    return match;
  }

  private choose(text: string): void {
    if (this.last?.text !== text) this.last = { text, matcher: this.matcherFor(text) };
  }

  private matcherFor(text: string): LinearMatcher | undefined {
    const { isSafe, longRun, program } = this.plan;
    if (!program) return undefined;
    if (isSafe && (text.length <= SHORT_TEXT || !longRun?.test(text))) return undefined;
    if (text.length * program.splits <= MAX_BITS) return new LinearMatcher(program, text);
    throw new GraftError(
      'unsupported',
      `The regular expression ${quote(this.source)} is too slow for a text of ${text.length} characters: shorten the text.`,
    );
  }
}
