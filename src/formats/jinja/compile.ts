/** Statements to functions of a scope. */
import type { For, Signature, Statement, Target } from './ast';
import { compileCall, compileExpression, compileFilterOrTest, type Evaluate } from './compile-expression';
import { JinjaError } from './errors';
import { SMALL_STEP, spendSteps } from './fuel';
import { GLOBALS } from './globals';
import { Names, targetNames } from './hidden-names';
import { LoopContext } from './loop';
import { compileMacro, goDeeper } from './macro';
import { readsName, storesName } from './names';
import { toText } from './printing';
import { findName, Output, Scope } from './scope';
import { Dict, isIterable, isTrue, listOf, Namespace, Stream, Tuple, typeName, Undefined, type Value } from './values';

/** How a statement ended. */
const enum Flow {
  Next,
  Break,
  Continue,
}

type Execute = (scope: Scope) => Flow;

/** Names that the body of a macro has beside its parameters. */
const SPECIAL_NAMES = ['caller', 'varargs', 'kwargs'] as const;

function macroNames({ names }: Signature): string[] {
  return [...names, ...SPECIAL_NAMES];
}

/** A whole template. */
export function compileTemplate(statements: readonly Statement[]): (scope: Scope) => void {
  return compileScope(statements, new Names(statements));
}

/** Statements that begin a scope, whose names are `names`. */
function compileScope(statements: readonly Statement[], names: Names): Execute {
  const body = compileStatements(statements, names, false);
  const hidden = [...names.hidden];
  if (hidden.length === 0) return body;
  return (scope) => {
    const given = scope.root().names;
    for (const name of hidden) {
      if (given.has(name) || GLOBALS.has(name)) scope.names.set(name, new Undefined(() => `'${name}' is undefined`));
    }
    return body(scope);
  };
}

/** Statements of the scope that `names` is of; `optional` as in `compileExpression`. */
function compileStatements(statements: readonly Statement[], names: Names, optional: boolean): Execute {
  const steps = statements.map((statement) => compileStatement(statement, names, optional));
  const [first] = steps;
  if (!first) return () => Flow.Next;
  if (steps.length === 1) return first;
  return (scope) => {
    for (const step of steps) {
      spendSteps();
      const flow = step(scope);
      if (flow !== Flow.Next) return flow;
    }
    return Flow.Next;
  };
}

function compileStatement(statement: Statement, names: Names, optional: boolean): Execute {
  const { line } = statement;
  const compileInner = (body: readonly Statement[], parameters?: readonly string[]) =>
    compileScope(body, new Names(body, names, parameters));
  switch (statement.kind) {
    case 'text': {
      const { text } = statement;
      return (scope) => {
        scope.out.add(text);
        return Flow.Next;
      };
    }
    case 'output': {
      const evaluate = compileExpression(statement.expression, optional);
      return (scope) => {
        scope.run.line = line;
        scope.out.add(toText(evaluate(scope)));
        return Flow.Next;
      };
    }
    case 'set': {
      const [assign, evaluate] = [compileTarget(statement.target), compileExpression(statement.value, optional)];
      return (scope) => {
        scope.run.line = line;
        assign(scope, evaluate(scope));
        return Flow.Next;
      };
    }
    case 'set block': {
      const [assign, body] = [compileTarget(statement.target), compileInner(statement.body)];
      const filter = statement.filter && compileCaptured(statement.filter);
      return (scope) => {
        const inner = scope.captured();
        const flow = body(inner);
        if (flow !== Flow.Next) return flow;
        scope.run.line = line;
        assign(scope, filter ? filter(inner) : inner.out.text);
        return Flow.Next;
      };
    }
    case 'filter block': {
      const [filter, body] = [compileCaptured(statement.filter), compileInner(statement.body)];
      return (scope) => {
        const inner = scope.captured();
        const flow = body(inner);
        if (flow !== Flow.Next) return flow;
        scope.run.line = line;
        scope.out.add(toText(filter(inner)));
        return Flow.Next;
      };
    }
    case 'for':
      return compileFor(statement, names, optional);
    case 'if':
      return compileIf(statement, names);
    case 'with':
      return compileWith(statement, names, optional);
    case 'macro': {
      const { name } = statement;
      const make = compileMacro(name, statement, compileInner(statement.body, macroNames(statement.signature)));
      return (scope) => {
        scope.names.set(name, make(scope));
        return Flow.Next;
      };
    }
    case 'call block': {
      const call = compileCall(statement.call, optional);
      const makeCaller = compileMacro(
        'caller',
        statement,
        compileInner(statement.body, macroNames(statement.signature)),
      );
      return (scope) => {
        scope.run.line = line;
        scope.out.add(toText(call(scope, new Map([['caller', makeCaller(scope)]]))));
        return Flow.Next;
      };
    }
    case 'generation':
      return compileGeneration(statement.body, compileInner(statement.body, SPECIAL_NAMES));
    case 'block': {
      const body = compileScope(statement.body, new Names(statement.body));
      return (scope) => {
        body(new Scope(scope.root(), scope.out, scope.run));
        return Flow.Next;
      };
    }
    case 'break':
      return () => Flow.Break;
    case 'continue':
      return () => Flow.Continue;
    case 'refused':
      return () => {
        throw new JinjaError(statement.message, { line });
      };
  }
}

function compileIf({ branches, otherwise, line }: Extract<Statement, { kind: 'if' }>, names: Names): Execute {
  const tests = branches.map(({ test }) => compileExpression(test, true));
  const bodies = branches.map(({ body }) => compileStatements(body, names, true));
  const last = compileStatements(otherwise, names, true);
  return (scope) => {
    scope.run.line = line;
    for (let i = 0; i < tests.length; i++) {
      spendSteps(SMALL_STEP);
      if (isTrue(tests[i]!(scope))) return bodies[i]!(scope);
    }
    return last(scope);
  };
}

function compileWith(statement: Extract<Statement, { kind: 'with' }>, names: Names, optional: boolean): Execute {
  const assignments = statement.assignments.map(
    ([target, value]) => [compileTarget(target), compileExpression(value, optional)] as const,
  );
  const parameters = statement.assignments.flatMap(([target]) => targetNames(target));
  const body = compileScope(statement.body, new Names(statement.body, names, parameters));
  const { line } = statement;
  return (scope) => {
    scope.run.line = line;
    const inner = scope.inner();
    for (const [assign, evaluate] of assignments) assign(inner, evaluate(scope));
    return body(inner);
  };
}

/** A filter on what a scope has captured. */
function compileCaptured(filter: Extract<Statement, { kind: 'filter block' }>['filter']): Evaluate {
  const captured: Evaluate = (scope) => scope.out.text;
  const inner = filter.operand;
  const chained = inner && (inner.kind === 'filter' || inner.kind === 'test') ? compileCaptured(inner) : captured;
  return compileFilterOrTest(filter, chained, false);
}

/**
 * Transformers makes it a call block, so that the special names of a macro are its own there; they are empty, as nobody
 * calls it with anything.
 */
function compileGeneration(statements: readonly Statement[], body: Execute): Execute {
  const special = SPECIAL_NAMES.filter((name) => readsName(statements, name));
  return (scope) => {
    const { out } = scope;
    const inner = scope.inner();
    for (const name of special) {
      const value = name === 'varargs' ? new Tuple([]) : name === 'kwargs' ? new Dict() : undefined;
      inner.names.set(name, value ?? new Undefined(() => 'No caller defined'));
    }
    const { generation } = scope.run;
    const start = out.text.length;
    out.add(generation?.marks?.open ?? '');
    body(inner);
    out.add(generation?.marks?.close ?? '');
    if (generation && out.isMain) generation.spans.push({ start, end: out.text.length });
    else if (generation) generation.isIncomplete = true;
    return Flow.Next;
  };
}

function compileTarget(target: Target): (scope: Scope, value: Value) => void {
  switch (target.kind) {
    case 'store': {
      const { name } = target;
      return (scope, value) => void scope.names.set(name, value);
    }
    case 'store attribute': {
      const { name, attribute } = target;
      return (scope, value) => {
        const namespace = findName(scope, name, GLOBALS);
        if (!(namespace instanceof Namespace)) throw new JinjaError('cannot assign attribute on non-namespace object');
        namespace.attributes.set(attribute, value);
      };
    }
    case 'unpack': {
      const targets = target.items.map(compileTarget);
      return (scope, value) => {
        const items = unpack(value, targets.length);
        targets.forEach((assign, i) => assign(scope, items[i]!));
      };
    }
  }
}

function unpack(value: Value, count: number): Value[] {
  if (!isIterable(value)) throw new JinjaError(`cannot unpack non-iterable ${typeName(value)} object`);
  const items = listOf(value);
  if (items.length < count) {
    throw new JinjaError(`not enough values to unpack (expected ${count}, got ${items.length})`);
  }
  if (items.length > count) throw new JinjaError(`too many values to unpack (expected ${count})`);
  return items;
}

function compileFor(node: For, names: Names, optional: boolean): Execute {
  const { line } = node;
  if (storesName([node.target, node.body, node.otherwise], 'loop')) {
    throw new JinjaError("Can't assign to special loop variable in for-loop target", { line });
  }
  const iterable = compileExpression(node.iterable, optional);
  const assign = compileTarget(node.target);
  const test = node.test && compileExpression(node.test, false);
  const usesLoop = node.recursive || readsName(node.body, 'loop');
  const parameters = [...targetNames(node.target), ...(usesLoop ? ['loop'] : [])];
  const body = compileScope(node.body, new Names(node.body, names, parameters));
  const otherwise = compileScope(node.otherwise, new Names(node.otherwise, names));

  const runLoop = (scope: Scope, items: Value, depth: number): Flow => {
    const recurse = (inner: Value, level: number) =>
      goDeeper(scope, () => {
        const captured = new Scope(scope, new Output(false), scope.run);
        runLoop(captured, inner, level);
        return captured.out.text;
      });
    const filtered = test ? new Stream(select(scope, items, node.target, test)) : items;
    const loop = new LoopContext(filtered, node.recursive ? recurse : undefined, depth);
    // As Python's compiled template has it: an iteration that was cut short doesn't count for `else`.
    let completed = false;
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      spendSteps();
      const inner = scope.inner();
      if (usesLoop) inner.names.set('loop', loop);
      scope.run.line = line;
      assign(inner, item);
      const flow = body(inner);
      if (flow === Flow.Break) break;
      if (flow === Flow.Next) completed = true;
    }
    return completed || node.otherwise.length === 0 ? Flow.Next : otherwise(scope.inner());
  };

  return (scope) => {
    scope.run.line = line;
    const items = iterable(scope);
    if (!node.recursive) return runLoop(scope, items, 0);
    const captured = new Scope(scope, new Output(false), scope.run);
    runLoop(captured, items, 0);
    scope.out.add(captured.out.text);
    return Flow.Next;
  };
}

/** The items of a loop that its `if` lets through; what was taken apart comes back as a tuple, as in jinja2. */
function* select(scope: Scope, items: Value, target: Target, test: Evaluate): Generator<Value> {
  const assign = compileTarget(target);
  for (const item of items instanceof Stream ? { [Symbol.iterator]: () => items.iterator } : listOf(items)) {
    spendSteps();
    const inner = scope.inner();
    assign(inner, item);
    if (isTrue(test(inner))) yield rebuild(target, inner);
  }
}

function rebuild(target: Target, scope: Scope): Value {
  if (target.kind === 'unpack') return new Tuple(target.items.map((item) => rebuild(item, scope)));
  return findName(scope, target.name, GLOBALS);
}
