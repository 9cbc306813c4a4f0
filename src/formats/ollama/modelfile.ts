/** Ollama's Modelfile: written so that its parser reads back what was meant, and read as it reads one. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';

/** An instruction, its name in small letters; of a PARAMETER, the parameter's. */
export interface Instruction {
  readonly name: string;
  readonly value: string;
}

export interface Modelfile {
  /** Of the lines before the instructions. */
  readonly comments?: readonly string[];
  readonly instructions: readonly Instruction[];
}

/** Before the day that a template's date was taken from. */
export const DATE_COMMENT = 'The date in the template: ';

const INSTRUCTIONS = ['from', 'template', 'system', 'adapter', 'license', 'message'] as const;

/** `parameter` of `PARAMETER stop "…"`. */
export function parameter(name: string, value: string | number): Instruction {
  return { name, value: String(value) };
}

/** @throws `unsupported` for a value that a Modelfile has no way to hold */
export function writeModelfile({ comments = [], instructions }: Modelfile): string {
  const lines = instructions.map(({ name, value }) => {
    const isInstruction = INSTRUCTIONS.some((known) => known === name);
    return `${isInstruction ? name.toUpperCase() : `PARAMETER ${name}`} ${quoteValue(name, value)}`;
  });
  return `${[...comments.map((line) => `# ${line}`), ...lines].join('\n')}\n`;
}

/** Characters that Ollama leaves out of a value (`strconv.IsPrint`), but for line ends and tabs. */
const LEFT_OUT = /[^\p{L}\p{M}\p{N}\p{P}\p{S} \n\r\t]/u;

function quoteValue(name: string, value: string): string {
  const [odd] = LEFT_OUT.exec(value) ?? [];
  const why =
    odd !== undefined
      ? `the character U+${odd.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}, which Ollama leaves out`
      : value.includes('"""')
        ? 'three quotes, which end a value'
        : undefined;
  if (why !== undefined)
    throw new GraftError('unsupported', `${name} of the Modelfile can't hold ${why}: ${quote(value)}.`);
  if (/^[\w./:+-]+$/.test(value)) return value;
  return /["\n\r]/.test(value) ? `"""${value}"""` : `"${value}"`;
}

/** @throws `bad-file` with its line for what Ollama would refuse */
export function parseModelfile(text: string, where: string): readonly Instruction[] {
  const instructions: Instruction[] = [];
  const lines = text.replace(/^\ufeff/, '').split(/(?<=[\n\r])/);
  for (let at = 0; at < lines.length;) {
    const line = at + 1;
    const start = lines[at++]!.trimStart();
    if (start === '' || start.startsWith('#')) continue;
    const [word, rest] = splitWord(start);
    const isParameter = word.toLowerCase() === 'parameter';
    const [name, first] = isParameter
      ? splitWord(rest)
      : [INSTRUCTIONS.find((known) => known === word.toLowerCase()), rest];
    if (name === undefined || first === '') {
      throw new GraftError(
        'bad-file',
        `${where}, line ${line}: ${quote(start.trim())} is no instruction of a Modelfile.`,
      );
    }
    let value = first;
    while (unquote(value) === undefined) {
      const next = lines[at++];
      if (next === undefined)
        throw new GraftError('bad-file', `${where}, line ${line}: the quotes of ${name} don't end.`);
      value += next;
    }
    instructions.push({ name, value: unquote(value)! });
  }
  return instructions;
}

/** The first word, and what follows the space after it. */
function splitWord(text: string): [string, string] {
  const [, word = '', rest = ''] = /^(\w+)[ \t]+([^]*)$/.exec(text) ?? [];
  return [word, rest];
}

/** A value without its quotes; undefined where they are still open. */
function unquote(text: string): string | undefined {
  const value = text.trim();
  for (const quotes of ['"""', '"']) {
    if (!value.startsWith(quotes)) continue;
    const isClosed = value.length >= 2 * quotes.length && value.endsWith(quotes);
    return isClosed ? value.slice(quotes.length, value.length - quotes.length) : undefined;
  }
  return value;
}
