/** What a template says. Lines count from 1. */

export type Expression =
  | { readonly kind: 'constant'; readonly value: null | boolean | string }
  | { readonly kind: 'integer'; readonly digits: string }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list' | 'tuple'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'not' | 'negative' | 'positive'; readonly operand: Expression }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'binary'; readonly operator: Operator; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'concat'; readonly parts: readonly Expression[] }
  | { readonly kind: 'compare'; readonly first: Expression; readonly rest: readonly Comparison[] }
  | {
      readonly kind: 'condition';
      readonly test: Expression;
      readonly then: Expression;
      readonly otherwise: Expression | undefined;
      readonly line: number;
    }
  | { readonly kind: 'attribute'; readonly object: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly object: Expression; readonly key: Expression }
  | Slice
  | Call
  | {
      readonly kind: 'filter' | 'test';
      /** Absent in a filter block, whose text comes in. */
      readonly operand: Expression | undefined;
      readonly name: string;
      readonly args: Arguments;
      readonly line: number;
    };

export interface Slice {
  readonly kind: 'slice';
  readonly start: Expression | undefined;
  readonly stop: Expression | undefined;
  readonly step: Expression | undefined;
}

export interface Call {
  readonly kind: 'call';
  readonly callee: Expression;
  readonly args: Arguments;
}

export type FilterOrTest = Extract<Expression, { kind: 'filter' | 'test' }>;

export type Operator = '+' | '-' | '*' | '/' | '//' | '%' | '**';

export interface Comparison {
  readonly operator: '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';
  readonly operand: Expression;
}

export interface Arguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*list` */
  readonly spread: Expression | undefined;
  /** `**dict` */
  readonly namedSpread: Expression | undefined;
}

export type Target =
  | { readonly kind: 'store'; readonly name: string; readonly line: number }
  | { readonly kind: 'store attribute'; readonly name: string; readonly attribute: string; readonly line: number }
  | { readonly kind: 'unpack'; readonly items: readonly Target[]; readonly line: number };

export interface Signature {
  readonly names: readonly string[];
  /** Of the last names. */
  readonly defaults: readonly Expression[];
}

export interface MacroBody {
  readonly signature: Signature;
  readonly body: readonly Statement[];
}

export type Statement = { readonly line: number } & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly expression: Expression }
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: 'set block';
      readonly target: Target;
      readonly filter: FilterOrTest | undefined;
      readonly body: readonly Statement[];
    }
  | For
  | {
      readonly kind: 'if';
      readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[];
      readonly otherwise: readonly Statement[];
    }
  | ({ readonly kind: 'macro'; readonly name: string } & MacroBody)
  | ({ readonly kind: 'call block'; readonly call: Call } & MacroBody)
  | { readonly kind: 'filter block'; readonly filter: FilterOrTest; readonly body: readonly Statement[] }
  | {
      readonly kind: 'with';
      readonly assignments: readonly (readonly [Target, Expression])[];
      readonly body: readonly Statement[];
    }
  | { readonly kind: 'generation'; readonly body: readonly Statement[] }
  | { readonly kind: 'block'; readonly name: string; readonly body: readonly Statement[] }
  | { readonly kind: 'break' | 'continue' }
  | { readonly kind: 'refused'; readonly message: string }
);

export interface For {
  readonly kind: 'for';
  readonly line: number;
  readonly target: Target;
  readonly iterable: Expression;
  readonly test: Expression | undefined;
  readonly recursive: boolean;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
}
