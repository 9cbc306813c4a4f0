/** What Ollama makes of a TEMPLATE and a conversation, for templates that go through the messages in a loop. */
import { contentOf, type Message } from '../../core/text';
import { parseGoTemplate, refusal, type GoExpression, type GoNode } from './go-template-syntax';

/** A message, or what the template begins with, by the names of its fields. */
interface Fields {
  readonly [name: string]: GoValue;
}

type GoValue = string | number | boolean | undefined | Fields | readonly GoValue[];

/**
 * The prompt that Ollama gives a model: neighbours of one role become one message, and what all system messages say stands
 * in `.System`.
 * @throws `unsupported` for what is no template of this kind
 */
export function renderGoTemplate(text: string, conversation: readonly Message[]): string {
  const nodes = parseGoTemplate(text);
  const messages: { Role: string; Content: string }[] = [];
  for (const message of conversation) {
    const last = messages.at(-1);
    const content = contentOf(message);
    if (last?.Role === message.role && message.role !== 'tool') last.Content += `\n\n${content}`;
    else messages.push({ Role: message.role, Content: content });
  }
  const system = conversation.filter(({ role }) => role === 'system').map(contentOf);
  const root: Fields = { System: system.join('\n\n'), Messages: messages, Response: '' };
  return write(nodes, root, new Map([['$', root]]));
}

function write(nodes: readonly GoNode[], dot: GoValue, outer: ReadonlyMap<string, GoValue>): string {
  const variables = new Map(outer);
  let text = '';
  for (const node of nodes) {
    switch (node.kind) {
      case 'text':
        text += node.text;
        break;
      case 'print':
        text += printed(evaluate(node.value, dot, variables));
        break;
      case 'set':
        variables.set(node.variable, evaluate(node.value, dot, variables));
        break;
      case 'if':
        text += write(isTrue(evaluate(node.condition, dot, variables)) ? node.then : node.otherwise, dot, variables);
        break;
      case 'range': {
        const list = evaluate(node.list, dot, variables);
        if (!Array.isArray(list)) throw refusal('a range goes through what is no list');
        const elements = list as readonly GoValue[];
        if (elements.length === 0) text += write(node.otherwise, dot, variables);
        elements.forEach((element, index) => {
          const names = new Map(variables);
          if (node.index !== undefined) names.set(node.index, index);
          if (node.element !== undefined) names.set(node.element, element);
          text += write(node.body, element, names);
        });
      }
    }
  }
  return text;
}

function printed(value: GoValue): string {
  if (value === undefined) return '';
  if (typeof value === 'object') throw refusal('it prints what is no text');
  return String(value);
}

function isTrue(value: GoValue): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

function evaluate(expression: GoExpression, dot: GoValue, variables: ReadonlyMap<string, GoValue>): GoValue {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'dot':
      return fieldOf(dot, expression.fields);
    case 'variable':
      if (!variables.has(expression.name)) throw refusal(`it has no variable ${expression.name}`);
      return fieldOf(variables.get(expression.name), expression.fields);
    case 'field':
      return fieldOf(evaluate(expression.of, dot, variables), expression.fields);
    case 'call': {
      const call = Object.hasOwn(FUNCTIONS, expression.name) ? FUNCTIONS[expression.name] : undefined;
      if (!call) throw refusal(`it calls ${expression.name}, which Graft doesn't know`);
      return call(...expression.arguments.map((argument) => evaluate(argument, dot, variables)));
    }
  }
}

function fieldOf(value: GoValue, fields: readonly string[]): GoValue {
  return fields.reduce<GoValue>((found, field) => {
    if (typeof found !== 'object' || Array.isArray(found)) throw refusal(`it looks for .${field} where there is none`);
    return Object.hasOwn(found, field) ? (found as Fields)[field] : undefined;
  }, value);
}

const FUNCTIONS: Readonly<Record<string, (...values: readonly GoValue[]) => GoValue>> = {
  and: (...values) => values[values.every(isTrue) ? values.length - 1 : values.findIndex((value) => !isTrue(value))],
  or: (...values) => values[values.some(isTrue) ? values.findIndex(isTrue) : values.length - 1],
  not: (value) => !isTrue(value),
  eq: (first, ...others) => others.includes(first),
  ne: (a, b) => a !== b,
  lt: (a, b) => asNumber(a) < asNumber(b),
  le: (a, b) => asNumber(a) <= asNumber(b),
  gt: (a, b) => asNumber(a) > asNumber(b),
  ge: (a, b) => asNumber(a) >= asNumber(b),
  len: (list) => asList(list).length,
  index: (list, at) => asList(list)[asNumber(at)],
  slice: (list, from, to) => asList(list).slice(asNumber(from ?? 0), to === undefined ? undefined : asNumber(to)),
};

function asNumber(value: GoValue): number {
  if (typeof value !== 'number') throw refusal('it counts with what is no number');
  return value;
}

function asList(value: GoValue): readonly GoValue[] {
  if (!Array.isArray(value)) throw refusal('it takes for a list what is none');
  return value as readonly GoValue[];
}
