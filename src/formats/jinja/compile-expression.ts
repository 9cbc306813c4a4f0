/** Expressions to functions of a scope. */
import { callValue, getAttribute, getItem, getMethod, slice } from './access';
import { add, negate, operate, positive } from './arithmetic';
import type { Arguments, Call, Comparison, Expression, FilterOrTest } from './ast';
import { contains, equals, isOrdered } from './compare';
import { JinjaError } from './errors';
import { findFilter, findTest } from './filters';
import { joinTexts, SMALL_STEP, spendSteps } from './fuel';
import { GLOBALS } from './globals';
import { toText } from './printing';
import { findName, type Scope } from './scope';
import {
  Dict,
  dictPairs,
  isDict,
  isTrue,
  listOf,
  makeFloat,
  makeInt,
  NO_NAMED,
  textOf,
  Tuple,
  Undefined,
  type CallArguments,
  type Value,
} from './values';

export type Evaluate = (scope: Scope) => Value;

/**
 * `optional` says whether the expression stands in an `if`, where a filter or test that doesn't exist is refused when it
 * is used; elsewhere the whole template is.
 */
export function compileExpression(node: Expression, optional: boolean): Evaluate {
  const compile = (inner: Expression) => compileExpression(inner, optional);
  switch (node.kind) {
    case 'constant': {
      const { value } = node;
      return () => value;
    }
    case 'integer': {
      const value = makeInt(BigInt(node.digits));
      return () => value;
    }
    case 'float': {
      const value = makeFloat(node.value);
      return () => value;
    }
    case 'name': {
      const { name } = node;
      return (scope) => findName(scope, name, GLOBALS);
    }
    case 'list': {
      const items = node.items.map(compile);
      return (scope) => {
        spendSteps(items.length);
        return items.map((item) => item(scope));
      };
    }
    case 'tuple': {
      const items = node.items.map(compile);
      return (scope) => {
        spendSteps(items.length);
        return new Tuple(items.map((item) => item(scope)));
      };
    }
    case 'dict': {
      const pairs = node.pairs.map(([key, value]) => [compile(key), compile(value)] as const);
      return (scope) => {
        spendSteps(2 * pairs.length);
        return new Dict(pairs.map(([key, value]) => [key(scope), value(scope)] as const));
      };
    }
    case 'not': {
      const operand = compile(node.operand);
      return (scope) => {
        spendSteps(SMALL_STEP);
        return !isTrue(operand(scope));
      };
    }
    case 'negative': {
      const operand = compile(node.operand);
      return (scope) => {
        spendSteps(SMALL_STEP);
        return negate(operand(scope));
      };
    }
    case 'positive': {
      const operand = compile(node.operand);
      return (scope) => {
        spendSteps(SMALL_STEP);
        return positive(operand(scope));
      };
    }
    case 'and': {
      const [left, right] = [compile(node.left), compile(node.right)];
      return (scope) => {
        spendSteps(SMALL_STEP);
        const value = left(scope);
        return isTrue(value) ? right(scope) : value;
      };
    }
    case 'or': {
      const [left, right] = [compile(node.left), compile(node.right)];
      return (scope) => {
        spendSteps(SMALL_STEP);
        const value = left(scope);
        return isTrue(value) ? value : right(scope);
      };
    }
    case 'binary': {
      const { operator } = node;
      const [left, right] = [compile(node.left), compile(node.right)];
      return (scope) => {
        spendSteps();
        const [a, b] = [left(scope), right(scope)];
        return operator === '+' ? add(a, b) : operate(operator, a, b);
      };
    }
    case 'concat': {
      const parts = node.parts.map(compile);
      return (scope) => {
        spendSteps(parts.length);
        return parts.reduce((text, part) => joinTexts(text, toText(part(scope))), '');
      };
    }
    case 'compare':
      return compileCompare(compile(node.first), node.rest, compile);
    case 'condition': {
      const [test, then] = [compileExpression(node.test, true), compileExpression(node.then, true)];
      const otherwise = node.otherwise && compileExpression(node.otherwise, true);
      const { line } = node;
      return (scope) => {
        spendSteps(SMALL_STEP);
        if (isTrue(test(scope))) return then(scope);
        return otherwise ? otherwise(scope) : new Undefined(() => noElse(line));
      };
    }
    case 'attribute': {
      const object = compile(node.object);
      const { name } = node;
      return (scope) => {
        spendSteps(SMALL_STEP);
        return getAttribute(object(scope), name);
      };
    }
    case 'item':
      return compileItem(compile(node.object), node.key, compile);
    case 'slice':
      throw new JinjaError('a slice stands alone between its brackets');
    case 'call':
      return compileCall(node, optional);
    case 'filter':
    case 'test':
      return compileFilterOrTest(node, compile(node.operand!), optional);
  }
}

function noElse(line: number): string {
  return `the inline if-expression on line ${line} evaluated to false and no else section was defined.`;
}

function compileItem(object: Evaluate, key: Expression, compile: (node: Expression) => Evaluate): Evaluate {
  if (key.kind === 'slice') {
    const [start, stop, step] = [key.start, key.stop, key.step].map((bound) => (bound ? compile(bound) : () => null));
    return (scope) => {
      const sliced = object(scope);
      spendSteps();
      return slice(sliced, start!(scope), stop!(scope), step!(scope));
    };
  }
  const inner = compile(key);
  return (scope) => {
    const whole = object(scope);
    spendSteps();
    return getItem(whole, inner(scope));
  };
}

type Compare = (a: Value, b: Value) => boolean;

const COMPARE: Readonly<Record<Comparison['operator'], Compare>> = {
  '==': equals,
  '!=': (a, b) => !equals(a, b),
  '<': (a, b) => isOrdered(a, '<', b),
  '<=': (a, b) => isOrdered(a, '<=', b),
  '>': (a, b) => isOrdered(a, '>', b),
  '>=': (a, b) => isOrdered(a, '>=', b),
  in: isIn,
  'not in': (a, b) => !isIn(a, b),
};

function isIn(item: Value, container: Value): boolean {
  return contains(container, item);
}

/** `a < b < c` holds where each pair does; what follows a pair that doesn't is left alone. */
function compileCompare(
  first: Evaluate,
  rest: readonly Comparison[],
  compile: (node: Expression) => Evaluate,
): Evaluate {
  const steps = rest.map(({ operator, operand }) => ({ holds: COMPARE[operator], operand: compile(operand) }));
  if (steps.length === 1) {
    const { holds, operand } = steps[0]!;
    return (scope) => {
      spendSteps();
      return holds(first(scope), operand(scope));
    };
  }
  return (scope) => {
    let left = first(scope);
    return steps.every(({ holds, operand }) => {
      spendSteps();
      const right = operand(scope);
      const result = holds(left, right);
      left = right;
      return result;
    });
  };
}

/** `extra` are arguments by name that the template didn't write: the caller of a call block. */
export function compileCall(
  { callee, args }: Call,
  optional: boolean,
): (scope: Scope, extra?: ReadonlyMap<string, Value>) => Value {
  const evaluateArguments = compileArguments(args, optional);
  if (callee.kind === 'attribute') {
    const object = compileExpression(callee.object, optional);
    const { name } = callee;
    return (scope, extra) => {
      const self = object(scope);
      spendSteps();
      const method = getMethod(self, name);
      if (method) return method(evaluateArguments(scope, extra));
      const found = getAttribute(self, name);
      return callValue(found, evaluateArguments(scope, extra));
    };
  }
  const evaluateCallee = compileExpression(callee, optional);
  return (scope, extra) => {
    const found = evaluateCallee(scope);
    spendSteps();
    return callValue(found, evaluateArguments(scope, extra));
  };
}

const NO_ARGUMENTS: CallArguments = { positional: [], named: NO_NAMED };

function compileArguments(
  args: Arguments,
  optional: boolean,
): (scope: Scope, extra?: ReadonlyMap<string, Value>) => CallArguments {
  const compile = (node: Expression) => compileExpression(node, optional);
  const positional = args.positional.map(compile);
  const named = args.named.map(([name, value]) => [name, compile(value)] as const);
  const spread = args.spread && compile(args.spread);
  const namedSpread = args.namedSpread && compile(args.namedSpread);
  if (named.length === 0 && !spread && !namedSpread) {
    const evaluate = (scope: Scope): CallArguments =>
      positional.length === 0 ? NO_ARGUMENTS : { positional: positional.map((value) => value(scope)), named: NO_NAMED };
    return (scope, extra) => (extra ? { positional: evaluate(scope).positional, named: extra } : evaluate(scope));
  }
  return (scope, extra) => {
    const values = positional.map((value) => value(scope));
    const byName = new Map<string, Value>(named.map(([name, value]) => [name, value(scope)]));
    if (spread) for (const value of listOf(spread(scope))) values.push(value);
    if (namedSpread) addNamed(byName, namedSpread(scope));
    for (const [name, value] of extra ?? []) addOnce(byName, name, value);
    return { positional: values, named: byName };
  };
}

function addNamed(named: Map<string, Value>, values: Value): void {
  if (!isDict(values)) throw new JinjaError('argument after ** must be a mapping');
  for (const [key, value] of dictPairs(values)) {
    const name = textOf(key);
    if (name === undefined) throw new JinjaError('keywords must be strings');
    addOnce(named, name, value);
  }
}

function addOnce(named: Map<string, Value>, name: string, value: Value): void {
  if (named.has(name)) throw new JinjaError(`got multiple values for keyword argument '${name}'`);
  named.set(name, value);
}

/** `operand` gives what the filter or test is applied to. */
export function compileFilterOrTest(node: FilterOrTest, operand: Evaluate, optional: boolean): Evaluate {
  const { name, kind, line } = node;
  const found = kind === 'filter' ? findFilter(name) : findTest(name);
  if (!found) {
    if (!optional) throw new JinjaError(`No ${kind} named '${name}'.`, { line });
    return () => {
      throw new JinjaError(`No ${kind} named '${name}' found.`, { line });
    };
  }
  const evaluateArguments = compileArguments(node.args, optional);
  return (scope) => {
    const value = operand(scope);
    spendSteps();
    return found(value, evaluateArguments(scope));
  };
}
