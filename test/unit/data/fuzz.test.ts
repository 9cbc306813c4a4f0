/**
 * Made-up rows through all of reading, rendering and tokenising: each is trained as shown, left out with a reason or
 * refused in one sentence, and no field of it is lost in silence. `GRAFT_FUZZ_ROWS` says how many rows, and
 * `GRAFT_FUZZ_SEED` which; `npm test -- fuzz-rows` tries ten thousand.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { GraftError } from '../../../src/core/errors';
import type { ChatTemplate, Tokenizer } from '../../../src/core/text';
import { parseDataset } from '../../../src/data/dataset';
import { tokenizeDataset } from '../../../src/data/tokenize';
import { memorySource } from '../../../src/formats/sources';
import { openText } from '../../../src/formats/text-model';
import { fuzzedRows, pathsOf, valueAt, without, type Path, type Row } from './fuzz-rows';

const ROWS = Number(process.env['GRAFT_FUZZ_ROWS'] ?? 300);
const SEED = Number(process.env['GRAFT_FUZZ_SEED'] ?? 20);

const END = '<|end|>';
/** Prints whatever a conversation may have. */
const SHOWS_ALL =
  '{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}{% if documents %}<docs>{{ documents | tojson }}</docs>{% endif %}' +
  '{% if enable_thinking is defined and not enable_thinking %}/no_think{% endif %}' +
  '{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}' +
  '{{ m.content or "" }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% if m.name %}({{ m.name }}){% endif %}' +
  `{% if m.role == 'assistant' %}${END}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`;
const MARKS_GENERATION =
  "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}{% generation %}{{ m.content or '' }}" +
  `{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}${END}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}` +
  '{% if add_generation_prompt %}<|assistant|>{% endif %}';

interface Model {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Whether prompts are trained too. */
  readonly whole: boolean;
}
const models = new Map<string, Model>();
const MODELS = ['starter', 'shows all', 'marks generation', 'alpaca', 'whole'];

beforeAll(async () => {
  const read = (name: string) => readFileSync(`public/models/starter/${name}`, 'utf8');
  const config = JSON.parse(read('tokenizer_config.json')) as Row;
  const templates = [config['chat_template'], SHOWS_ALL, MARKS_GENERATION, undefined, SHOWS_ALL];
  for (const [i, name] of MODELS.entries()) {
    const files = {
      'tokenizer.json': read('tokenizer.json'),
      'tokenizer_config.json': JSON.stringify({ ...config, chat_template: templates[i] }),
    };
    const bytes = Object.entries(files).map(([file, text]) => [file, new TextEncoder().encode(text)]);
    const source = memorySource(name, Object.fromEntries(bytes) as Record<string, Uint8Array>);
    models.set(name, { ...(await openText(source, []))!, whole: name === 'whole' });
  }
});

type Outcome =
  | { readonly ids: readonly number[]; readonly labels: readonly number[]; readonly notices: readonly string[] }
  | { readonly reason: string };

/** What becomes of a file with this row alone. */
async function train(row: Row, { tokenizer, template, whole }: Model): Promise<Outcome> {
  try {
    const dataset = await parseDataset('d.jsonl', JSON.stringify(row), { maxBadRows: 1 });
    const options = {
      tokenizer,
      template,
      vocabSize: tokenizer.vocabSize,
      maxLength: 4096,
      assistantOnlyLoss: !whole,
      maxBadRows: 1,
    };
    const { examples, notices } = await tokenizeDataset(dataset, options);
    const { inputIds: ids, labels } = examples[0]!;
    return { ids, labels, notices: [...dataset.notices, ...notices] };
  } catch (error) {
    if (!(error instanceof GraftError)) throw error;
    return { reason: error.message };
  }
}

const WEIGHTS = ['weight', 'loss_weight', 'sample_weight', 'train', 'trainable', 'train_on_turn', 'loss'];
const SYSTEMS = ['system', 'system_prompt', 'system_message'];
const TOKEN_FIELDS = [
  'labels',
  'attention_mask',
  'completion_mask',
  'assistant_masks',
  'loss_mask',
  'position_ids',
  'seq_lengths',
];
/** Names that stand for each other. */
const ALIASES = [
  ['role', 'from'],
  ['content', 'value', 'text'],
];

/** Whether a field says nothing that the row doesn't mean without it. */
function saysNothing(row: Row, path: Path): boolean {
  const value = valueAt(row, path);
  const name = path.at(-1) as string;
  if (isBlank(value)) return true;
  if (path.length === 1) {
    // Ids are trained whole unless a label or mask says otherwise, and of a row of ids nothing else is read.
    if (TOKEN_FIELDS.includes(name)) return isList(row['input_ids']);
    if (WEIGHTS.includes(name)) return value === 1 || value === true;
    return SYSTEMS.includes(name) && JSON.stringify(row).split(JSON.stringify(value)).length > 2;
  }
  const message = valueAt(row, path.slice(0, -1)) as Row;
  // Other messages are never trained.
  const isAssistant = /^(assistant|gpt|function_call)$/.test(String(message['role'] ?? message['from']));
  if (WEIGHTS.includes(name)) return isAssistant ? value === 1 || value === true || path[0] === 'prompt' : true;
  if (name === 'type' && value === 'text') return true;
  const others = ALIASES.find((names) => names.includes(name)) ?? [];
  return others.some((other) => other !== name && !isBlank(message[other]));
}

function isList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

/** Whether a value holds nothing but nulls, white space and empty lists. */
function isBlank(value: unknown): boolean {
  if (typeof value === 'string') return value.trim() === '' || value.trim() === '[]';
  return value === undefined || value === null || (typeof value === 'object' && Object.values(value).every(isBlank));
}

/** Fields of a row that is trained that make no difference to what is trained, and of which nothing is said. */
async function lostFields(row: Row, model: Model, outcome: Outcome): Promise<string[]> {
  if ('reason' in outcome) return [];
  const lost: string[] = [];
  for (const path of pathsOf(row)) {
    const name = path.at(-1) as string;
    if (saysNothing(row, path)) continue;
    const other = await train(without(row, path), model);
    if ('reason' in other || !isSame(other, outcome)) continue;
    // Variables of a template are named one by one.
    const inner = name === 'chat_template_kwargs' ? Object.keys(row[name] as object) : [];
    const names = (notice: string) =>
      [name, ...inner].some((one) => namesField(notice, one)) ||
      (namesField(notice, String(path[0])) && / left out: /.test(notice));
    // Of several messages with the field the notice stays when one of them loses it.
    const said =
      path.length > 1 ? outcome.notices : outcome.notices.filter((notice) => !other.notices.includes(notice));
    if (!said.some(names)) lost.push(`${path.join('.')} ${JSON.stringify(valueAt(row, path))}`);
  }
  return lost;
}

/** Fields are named as they are read: `question` for ` Question`. */
function namesField(notice: string, field: string): boolean {
  const name = field.trim().toLowerCase();
  return /^\w+$/.test(name)
    ? new RegExp(`(?<!\\w)${name}(?!\\w)`, 'i').test(notice)
    : notice.toLowerCase().includes(name.slice(0, 20));
}

function isSame(a: Exclude<Outcome, { reason: string }>, b: Exclude<Outcome, { reason: string }>): boolean {
  return String(a.ids) === String(b.ids) && String(a.labels) === String(b.labels);
}

const ONE_SENTENCE = /^d\.jsonl: its only row can't be used: row 1 (has|must have|is|says|can't be|needs) .{3,900}\.$/;

describe('made-up rows', () => {
  it(
    `are trained, left out or refused, and lose nothing in silence: ${ROWS} of seed ${SEED}`,
    { timeout: 3_600_000 },
    async () => {
      const counts = { trained: 0, refused: 0 };
      const check = async (row: Row, name: string) => {
        const model = models.get(name)!;
        const outcome = await train(row, model);
        if ('reason' in outcome) expect(outcome.reason).toMatch(ONE_SENTENCE);
        else expect(outcome.labels.some((label) => label >= 0)).toBe(true);
        counts['reason' in outcome ? 'refused' : 'trained']++;
        expect(await lostFields(row, model, outcome)).toEqual([]);
      };
      await fc.assert(fc.asyncProperty(fuzzedRows, fc.constantFrom(...MODELS), check), { numRuns: ROWS, seed: SEED });
      expect(Math.min(counts.trained, counts.refused)).toBeGreaterThan(ROWS / 5);
    },
  );
});
