/** What the keys of a run file may be: schemas whose messages say what is expected. */
import * as v from 'valibot';

// Each schema's message says what is expected; `<key> must be <message>` is the sentence a user reads.
export const text = v.pipe(v.string('text'), v.minLength(1, 'text'));
export const flag = v.boolean('true or false');
export const number = (message: string) => v.pipe(v.number(message), v.finite(message));
// The GPU computes with these in 32 bits.
const FLOAT32 = 'within the range of 32-bit floats';
export const above0 = v.pipe(
  number('a number above 0'),
  v.gtValue(0, 'a number above 0'),
  v.check((n) => Math.fround(n) > 0 && Number.isFinite(Math.fround(n)), `a number above 0 ${FLOAT32}`),
);
export const from0 = v.pipe(
  number('a number, 0 or more'),
  v.minValue(0, 'a number, 0 or more'),
  v.check((n) => Number.isFinite(Math.fround(n)), `a number, 0 or more, ${FLOAT32}`),
);
const FRACTION = 'a number from 0 to below 1';
export const fraction = v.pipe(number(FRACTION), v.minValue(0, FRACTION), v.ltValue(1, FRACTION));

/** What may be a part of a whole is as good in percent: `20%` is 0.2. */
const inPercent = <S extends v.GenericSchema<number, number>>(
  schema: S,
  message: string,
  /** What it may be in percent, as a part of 1. */
  parts: v.GenericSchema<number, number> = schema,
) =>
  v.union(
    [
      schema,
      v.pipe(
        v.string(),
        v.regex(/^\s*\d+(\.\d+)?\s*%\s*$/),
        v.transform((percent) => Number((parseFloat(percent) / 100).toPrecision(12))),
        parts,
      ),
    ],
    message,
  );

const SHARE = 'a number from 0 to 1';
const HELD_OUT = '0, a fraction below 1, or a whole number of rows';
export const part = inPercent(fraction, FRACTION);
export const share = inPercent(v.pipe(number(SHARE), v.minValue(0, SHARE), v.maxValue(1, SHARE)), SHARE);
export const heldOut = inPercent(
  v.pipe(
    number(HELD_OUT),
    v.minValue(0, HELD_OUT),
    v.check((n) => n < 1 || Number.isInteger(n), HELD_OUT),
  ),
  HELD_OUT,
  v.pipe(number(HELD_OUT), v.ltValue(1, HELD_OUT)), // and not so many rows
);
export const whole = (least: number, most = Number.MAX_SAFE_INTEGER) => {
  const message = most < 2 ** 33 ? `a whole number from ${least} to ${most}` : `a whole number, ${least} or more`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(least, message), v.maxValue(most, message));
};
export const oneOf = <const T extends readonly string[]>(...options: T) =>
  v.picklist(options, `one of ${options.join(', ')}`);

const DAY = 'a day, as 2026-07-01';
export const day = v.pipe(
  v.string(DAY),
  v.regex(/^\d{4}-\d\d-\d\d$/, DAY),
  // JavaScript takes 31 February for 2 March.
  v.check((value) => JSON.stringify(new Date(value)).startsWith(`"${value}T`), DAY),
);

const MODULES = 'all-linear, auto, or a list of module names such as [q_proj, v_proj]';
const moduleNameOf = (message: string) => v.pipe(v.string(message), v.regex(/^[A-Za-z_]\w*(\.\w+)*$/, message));
const moduleName = moduleNameOf(MODULES);
export const modules = v.union(
  [
    v.literal('all-linear'),
    v.literal('auto'),
    v.pipe(v.array(moduleName), v.minLength(1, MODULES)),
    // The command line has no lists: names come separated by commas.
    v.pipe(
      v.string(),
      v.transform((names) => names.split(',').map((name) => name.trim())),
      v.array(moduleName),
    ),
  ],
  MODULES,
);

const SAVED_MODULES = 'a list of module names such as [embed_tokens, lm_head]';
export const savedModules = v.union(
  [
    v.pipe(v.array(moduleNameOf(SAVED_MODULES)), v.minLength(1, SAVED_MODULES)),
    v.pipe(
      v.string(),
      v.transform((names) => names.split(',').map((name) => name.trim())),
      v.array(moduleNameOf(SAVED_MODULES)),
    ),
  ],
  SAVED_MODULES,
);

const LAYERS = 'a list of layers, counted from 0, such as [0, 2]';
const layer = v.pipe(v.number(LAYERS), v.integer(LAYERS), v.minValue(0, LAYERS));
export const layers = v.union(
  [
    v.pipe(v.array(layer), v.minLength(1, LAYERS)),
    // PEFT takes a single one too.
    v.pipe(
      layer,
      v.transform((only) => [only]),
    ),
    v.pipe(
      v.string(),
      v.transform((list) => list.split(',').map((entry) => (/^\s*\d+\s*$/.test(entry) ? Number(entry) : NaN))),
      v.array(layer),
    ),
  ],
  LAYERS,
);

const TOKENS = 'a list of token ids such as [5, 17], or such lists by table: {embed_tokens: [5], lm_head: [5]}';
const tokenId = v.pipe(v.number(TOKENS), v.integer(TOKENS), v.minValue(0, TOKENS));
const tokenIds = v.pipe(v.array(tokenId, TOKENS), v.minLength(1, TOKENS), v.readonly());
const ofEmbedding = v.transform((ids: readonly number[]) => ({ embed_tokens: ids }));
export const trainableTokens = v.union(
  [
    v.pipe(tokenIds, ofEmbedding),
    v.pipe(
      v.strictObject({ embed_tokens: v.optional(tokenIds), lm_head: v.optional(tokenIds) }, TOKENS),
      v.check(({ embed_tokens, lm_head }) => embed_tokens !== undefined || lm_head !== undefined, TOKENS),
    ),
    v.pipe(
      tokenId,
      v.transform((only) => ({ embed_tokens: [only] })),
    ),
    v.pipe(
      v.string(),
      v.transform((list) => list.split(',').map((entry) => (/^\s*\d+\s*$/.test(entry) ? Number(entry) : NaN))),
      tokenIds,
      ofEmbedding,
    ),
  ],
  TOKENS,
);

const VARIABLES = 'a mapping of template variables such as {enable_thinking: false}';
export const variables = v.pipe(
  v.custom<object>((value) => !Array.isArray(value), VARIABLES), // a list has keys, too
  v.record(v.string(VARIABLES), v.unknown(), VARIABLES),
  // A template prints them, and a written run file has them as JSON, which has no .inf and .nan.
  v.check((value) => hasOnlyFiniteNumbers(value), `${VARIABLES.replace('such', 'with finite numbers, such')}`),
);

const MAPPING = "a mapping of fields to the file's columns such as {question: Frage, answer: Antwort}";
const place = v.pipe(v.number(MAPPING), v.integer(MAPPING), v.minValue(1, MAPPING));
export const mapping = v.pipe(
  v.custom<object>((value) => !Array.isArray(value), MAPPING), // a list has keys, too
  v.record(v.string(MAPPING), v.union([v.pipe(v.string(), v.minLength(1)), place], MAPPING), MAPPING),
  v.check((value) => Object.keys(value).length > 0, MAPPING),
);

function hasOnlyFiniteNumbers(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(hasOnlyFiniteNumbers);
}

export const EPOCHS = 'a number above 0 and at most 1,000,000';
export const MAX_STEPS = 'a whole number above 0, or -1 to train for num_train_epochs';
