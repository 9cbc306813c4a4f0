/** Macros and the bodies of call blocks: functions whose result is what they print. */
import type { MacroBody } from './ast';
import { compileExpression, type Evaluate } from './compile-expression';
import { JinjaError } from './errors';
import { spendSteps } from './fuel';
import { readsName } from './names';
import { Scope, Output } from './scope';
import { Callable, Dict, Tuple, Undefined, type CallArguments } from './values';

/** Macros within macros, and levels of a recursive loop; Python's own limit lies near it. */
const MAX_DEPTH = 190;

/** Runs `action` one level deeper. */
export function goDeeper<T>(scope: Scope, action: () => T): T {
  if (scope.run.depth >= MAX_DEPTH) throw new JinjaError('the template calls itself too deep');
  scope.run.depth++;
  const result = action();
  scope.run.depth--;
  return result;
}

/** Makes the macro in the scope that defines it. */
export function compileMacro(
  name: string,
  { signature, body }: MacroBody,
  runBody: (scope: Scope) => void,
): (scope: Scope) => Callable {
  const { names, defaults } = signature;
  const uses = (special: string) => !names.includes(special) && readsName(body, special);
  const special = { caller: uses('caller'), kwargs: uses('kwargs'), varargs: uses('varargs') };
  const firstDefault = names.length - defaults.length;
  const fallbacks = names.map((parameter, i): Evaluate => {
    const node = defaults[i - firstDefault];
    if (node) return compileExpression(node, false);
    return () => new Undefined(() => `parameter '${parameter}' was not provided`);
  });

  const call = (defined: Scope, args: CallArguments): string => {
    spendSteps(1 + names.length);
    const scope = new Scope(defined, new Output(false), defined.run);
    bindSpecial(scope, name, names, special, args);
    names.forEach((parameter, i) => {
      const value = i < args.positional.length ? args.positional[i] : args.named.get(parameter);
      scope.names.set(parameter, value === undefined ? fallbacks[i]!(scope) : value);
    });
    goDeeper(scope, () => runBody(scope));
    return scope.out.text;
  };
  return (defined) => new Callable(name, (args) => call(defined, args), 'Macro');
}

function bindSpecial(
  scope: Scope,
  name: string,
  names: readonly string[],
  special: { readonly caller: boolean; readonly kwargs: boolean; readonly varargs: boolean },
  { positional, named }: CallArguments,
): void {
  const open = names.slice(positional.length);
  const extra = new Map([...named].filter(([key]) => !open.includes(key)));
  if (special.caller) {
    const caller = extra.get('caller');
    extra.delete('caller');
    scope.names.set('caller', caller ?? new Undefined(() => 'No caller defined'));
  }
  if (special.kwargs) {
    scope.names.set('kwargs', new Dict(extra));
  } else if (extra.size > 0) {
    throw new JinjaError(`macro '${name}' takes no keyword argument '${[...extra.keys()][0]}'`);
  }
  if (special.varargs) {
    scope.names.set('varargs', new Tuple(positional.slice(names.length)));
  } else if (positional.length > names.length) {
    throw new JinjaError(`macro '${name}' takes not more than ${names.length} argument(s)`);
  }
}
