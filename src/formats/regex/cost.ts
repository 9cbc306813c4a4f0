/**
 * What a backtracking engine may take for a pattern, told from its tree. Where a loop that has no end has one character
 * as its body, there is one way through it for each length; what follows it and fails makes the engine try them all, and
 * another such loop behind it multiplies that. Any other body may be gone through in more ways than there are characters.
 */
import type { Node } from './parse';

export interface Cost {
  /** Characters, with those of repetitions counted as often as they are repeated at least. */
  readonly size: number;
  /** Whether some loop without an end has a body that isn't one character. */
  readonly nested: boolean;
  /** Whether it refers to what it has matched. */
  readonly refers: boolean;
  /** Most loops in a row, each followed by something that can fail. */
  readonly retries: number;
  /** What those loops repeat, as patterns. */
  readonly retried: readonly string[];
}

interface Place {
  /** Whether a loop may be gone through again from other places: what comes after it can fail, or takes what it took. */
  readonly failsAfter: boolean;
}

export function costOf(node: Node): Cost {
  return measure(node, { failsAfter: false });
}

const NONE: Cost = { size: 0, nested: false, refers: false, retries: 0, retried: [] };

function measure(node: Node, place: Place): Cost {
  switch (node.kind) {
    case 'set':
      return { ...NONE, size: 1 };
    case 'edge':
      return { ...NONE, size: 1 };
    case 'reference':
      return { ...NONE, size: 1, refers: true };
    case 'look':
      // It takes no characters: where the match goes on, or begins anew, its loops go through the same ones once more.
      return measure(node.item, { failsAfter: true });
    case 'choice':
      return node.options
        .map((option) => measure(option, place))
        .reduce((a, b) => join(a, b, Math.max(a.retries, b.retries)), NONE);
    case 'sequence': {
      let total = NONE;
      node.items.forEach((item, i) => {
        const failsAfter = place.failsAfter || node.items.slice(i + 1).some((next) => !alwaysMatches(next));
        const cost = measure(item, { failsAfter });
        total = join(total, cost, total.retries + cost.retries);
      });
      return total;
    }
    case 'repeat': {
      const inner = measure(node.item, { failsAfter: place.failsAfter || node.most > 1 });
      const size = inner.size * Math.max(1, node.least, Number.isFinite(node.most) ? node.most : 1);
      // Counts without a large bound are loops, too.
      const loops = node.most - node.least > MANY;
      const body = oneCharacter(node.item);
      if (!loops) {
        const copies = Math.max(1, Math.min(node.most, MANY));
        return { ...inner, size, retries: inner.retries * copies };
      }
      const retries = inner.retries + (place.failsAfter ? 1 : 0);
      return {
        ...inner,
        size,
        nested: inner.nested || body === undefined,
        retries,
        retried: place.failsAfter && body !== undefined ? [...inner.retried, body] : inner.retried,
      };
    }
  }
}

/** Repetitions up to this often count as written out. */
const MANY = 10;

function join(a: Cost, b: Cost, retries: number): Cost {
  return {
    size: a.size + b.size,
    nested: a.nested || b.nested,
    refers: a.refers || b.refers,
    retries,
    retried: [...a.retried, ...b.retried],
  };
}

/** Whether it matches at any place, if need be nothing. */
function alwaysMatches(node: Node): boolean {
  switch (node.kind) {
    case 'repeat':
      return node.least === 0 || alwaysMatches(node.item);
    case 'sequence':
      return node.items.every(alwaysMatches);
    case 'choice':
      return node.options.some(alwaysMatches);
    default:
      return false;
  }
}

/** The pattern of a node that matches one character in one way: a set, with conditions of one character before it. */
function oneCharacter(node: Node): string | undefined {
  if (node.kind === 'set') return node.source;
  if (node.kind !== 'sequence') return undefined;
  const set = node.items.at(-1);
  const looks = node.items.slice(0, -1);
  const isPlain = looks.every((item) => item.kind === 'look' && item.item.kind === 'set');
  return set?.kind === 'set' && isPlain ? set.source : undefined;
}
