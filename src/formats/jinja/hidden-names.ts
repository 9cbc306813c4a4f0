/**
 * Names that a part of a template hides before it assigns them. jinja2 settles where a name lives when it compiles: where
 * a scope's own first mention of a name is an assignment, and no scope of the template around it mentions the name, then
 * it is undefined until then, even for loops and macros within, and even where the caller gave a variable of that name.
 */
import type { Statement, Target } from './ast';

/** Names that a scope mentions itself, and those of its parents. */
export class Names {
  private readonly known = new Set<string>();
  /** Names that are undefined when the scope begins. */
  readonly hidden = new Set<string>();
  /** Whether what is read stands in an `if`. */
  private isConditional = false;

  /** `parameters` are assigned as the scope begins. */
  constructor(
    statements: readonly Statement[],
    private readonly parent?: Names,
    parameters: readonly string[] = [],
  ) {
    for (const name of parameters) this.known.add(name);
    this.readAll(statements);
  }

  private has(name: string): boolean {
    return this.known.has(name) || (this.parent?.has(name) ?? false);
  }

  private load(name: string): void {
    this.known.add(name);
  }

  private store(name: string): void {
    if (!this.isConditional && !this.has(name)) this.hidden.add(name);
    this.known.add(name);
  }

  private readAll(statements: readonly Statement[]): void {
    for (const statement of statements) this.read(statement);
  }

  /** What a statement mentions in its own scope: bodies with a scope of their own are left out. */
  private read(statement: Statement): void {
    switch (statement.kind) {
      case 'output':
        this.readExpression(statement.expression);
        break;
      case 'set':
        this.readExpression(statement.value);
        this.readTarget(statement.target);
        break;
      case 'set block':
        this.readTarget(statement.target);
        break;
      case 'for':
        this.readExpression(statement.iterable);
        break;
      case 'if':
        this.readIf(statement);
        break;
      case 'macro':
        this.store(statement.name);
        break;
      case 'call block':
        this.readExpression(statement.call);
        break;
      case 'filter block':
        this.readExpression(statement.filter);
        break;
      case 'with':
        for (const [, value] of statement.assignments) this.readExpression(value);
        break;
    }
  }

  /** A name that a branch assigns keeps the caller's value until then. */
  private readIf({ branches, otherwise }: Extract<Statement, { kind: 'if' }>): void {
    const before = this.isConditional;
    for (const { test } of branches) this.readExpression(test);
    this.isConditional = true;
    for (const { body } of branches) this.readAll(body);
    this.readAll(otherwise);
    this.isConditional = before;
  }

  private readTarget(target: Target): void {
    if (target.kind === 'store') this.store(target.name);
    else if (target.kind === 'store attribute') this.load(target.name);
    else target.items.forEach((item) => this.readTarget(item));
  }

  /** Every name in a tree of ast.ts. */
  private readExpression(node: unknown): void {
    if (typeof node !== 'object' || node === null) return;
    const { kind, name } = node as { kind?: unknown; name?: unknown };
    if (kind === 'name' && typeof name === 'string') this.load(name);
    else for (const value of Object.values(node)) this.readExpression(value);
  }
}

/** The names that a target assigns. */
export function targetNames(target: Target): string[] {
  if (target.kind === 'unpack') return target.items.flatMap(targetNames);
  return target.kind === 'store' ? [target.name] : [];
}
