import { describe, expect, it } from 'vitest';
import { chatTemplate } from '../../../src/formats/template';
import { openModel } from '../../../src/formats/model';
import { contextLengthFor, planAnswers, refuseUnshownSystem } from '../../../src/recipes';
import { expectError, run, tinyModel } from './support';

const conversation = () => [
  { role: 'system', content: 'Speak of ships.' },
  { role: 'user', content: 'Hello.' },
];
const turns = "{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor %}";

describe('a system message', () => {
  const ask = (source: string) =>
    refuseUnshownSystem({ name: 'm', template: chatTemplate('test', source, {}) }, conversation());

  it.each([
    ['shown as a message', turns],
    ['put into the first question', '{{ messages[0].content }}: {{ messages[1].content }}'],
  ])('%s is taken', (_, source) => expect(() => ask(source)).not.toThrow());

  it.each([
    ['passes over it', "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"],
    ['refuses it', `{% if messages[0].role == 'system' %}{{ raise_exception('No system.') }}{% endif %}${turns}`],
    ['has one of its own in its place', 'Be kind.{% for m in messages[1:] %}{{ m.content }}{% endfor %}'],
  ])('is refused with what to do where the template %s', (_, source) =>
    expectError(
      async () => ask(source),
      'unsupported',
      /^The chat template of m has no place for a system prompt: empty that field/,
    ),
  );

  it('is no matter where the template refuses the rest as well: asking says why', () =>
    expect(() => ask("{{ raise_exception('Never.') }}")).not.toThrow());
});

describe('the room of a conversation', () => {
  it('doubles as it grows, to what the model can read', () => {
    const spec = { maxPositions: 10_000 };
    expect([1, 2048, 2049, 5000, 9000, 20_000].map((tokens) => contextLengthFor(tokens, spec))).toEqual([
      2048, 2048, 4096, 8192, 10_000, 10_000,
    ]);
    expect(contextLengthFor(1, { maxPositions: 512 })).toBe(512);
  });

  it('takes memory for both sides of it with a run, and for two models where one was trained whole', async () => {
    const model = await openModel(await tinyModel({ max_position_embeddings: 8192 }));
    const { numLayers, numKeyValueHeads, headDim } = model.spec;
    const perToken = 2 * numLayers * numKeyValueHeads * headDim * 4; // keys and values in f32
    const grown = (asked: Parameters<typeof planAnswers>[1]) =>
      planAnswers(model, asked, 8192) - planAnswers(model, asked, 2048);
    expect(grown({})).toBeGreaterThanOrEqual(6144 * perToken);
    expect(grown(run())).toBeGreaterThanOrEqual(2 * 6144 * perToken);
    expect(planAnswers(model, run({ use_peft: 'false' }), 2048)).toBeGreaterThan(planAnswers(model, {}, 2048));
  });
});
