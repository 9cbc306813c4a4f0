/** YAML as a run file has it: one flat mapping, neither deep nor long, whoever wrote it. */
import { Lexer, LineCounter, parseDocument, Parser, type CST, type YAMLParseError } from 'yaml';
import { GraftError } from './errors';
import { quote, shorten } from './format';

/** A run file has a few dozen lines. */
const MAX_LENGTH = 100_000;

/**
 * Lists and mappings of a run file that lie in one another, keys included: real ones have two or three. What reads YAML
 * goes into them by recursion, and takes time that doubles with each mapping that is a key.
 */
const MAX_DEPTH = 24;

/** Characters of the YAML library's own words that a message shows. */
const MAX_REASON = 240;

/** The keys of a run file with their values. @throws `bad-config` for what is no mapping in YAML, or too deep or long for one */
export function readYaml(yamlText: string, name: string): Record<string, unknown> {
  if (yamlText.length > MAX_LENGTH) throw new GraftError('bad-config', `${name} is too long to be a run file.`);
  if (nestsTooDeep(yamlText)) {
    throw new GraftError(
      'bad-config',
      `${name} has more than ${MAX_DEPTH} lists and mappings in one another: a run file is keys with values.`,
    );
  }
  const document = parseDocument(yamlText, { prettyErrors: false, uniqueKeys: true, schema: 'core' });
  const [error] = document.errors;
  if (error?.code === 'MULTIPLE_DOCS') {
    throw new GraftError(
      'bad-config',
      `${name} holds several YAML documents, one behind another (---): a run file is one. Put each run into a file of its own.`,
    );
  }
  if (error) {
    throw new GraftError('bad-config', `${name} is not valid YAML: ${describeFault(error, yamlText)}.`);
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 });
  } catch {
    throw new GraftError('bad-config', `${name} uses a YAML alias; a run file has none.`);
  }
  if (value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new GraftError(
      'bad-config',
      `${name} must be keys with values (learning_rate: 2.0e-4), but is ${quote(value)}.`,
    );
  }
  return value as Record<string, unknown>;
}

/** What the library says and where. Its own pretty errors look for the line of each of them, and there can be thousands. */
function describeFault(error: YAMLParseError, yamlText: string): string {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let end = yamlText.indexOf('\n'); end >= 0; end = yamlText.indexOf('\n', end + 1)) lines.addNewLine(end + 1);
  const { line, col } = lines.linePos(error.pos[0]);
  return `${shorten(error.message.split('\n')[0]!, MAX_REASON)} at line ${line}, column ${col}`;
}

/** The documents of a text, one by one; ends with undefined where more is open at once than a run file may have. */
function* parseTokens(yamlText: string): Generator<CST.Token | undefined, void> {
  const parser = new Parser();
  for (const source of new Lexer().lex(yamlText)) {
    yield* parser.next(source);
    // What closes a list goes into all that it holds by recursion, so there may not be much of it.
    if (parser.stack.length > 4 * MAX_DEPTH) {
      yield undefined;
      return;
    }
  }
  yield* parser.end();
}

/** Whether a YAML text has more in one another than is read. */
function nestsTooDeep(yamlText: string): boolean {
  for (const document of parseTokens(yamlText)) {
    if (!document) return true;
    const open: [CST.Token, number][] = [[document, 0]];
    for (let entry = open.pop(); entry; entry = open.pop()) {
      const [token, depth] = entry;
      if (depth > MAX_DEPTH) return true;
      if (token.type === 'document' && token.value) open.push([token.value, depth]);
      for (const item of 'items' in token ? token.items : []) {
        if (item.key) open.push([item.key, depth + 1]);
        if (item.value) open.push([item.value, depth + 1]);
      }
    }
  }
  return false;
}

/** The value of a YAML text; undefined where it has none. */
export function readScalar(text: string): unknown {
  if (text.length > MAX_LENGTH || nestsTooDeep(text)) return undefined;
  const document = parseDocument(text, { schema: 'core', prettyErrors: false });
  if (document.errors.length > 0) return undefined;
  try {
    return (document.toJS({ maxAliasCount: 0 }) as unknown) ?? undefined;
  } catch {
    return undefined; // an alias
  }
}
