import { expect, test, describe } from 'vitest';
import { formatRunConfig } from '../../../src/core/config';
import { encodeUtf8 } from '../../../src/core/store';
import { datedTemplate, withTemplateDate } from '../../../src/recipes/steps/template-date';
import { chatTemplate } from '../../../src/formats/template';
import { MemoryStore, expectError, run } from './support';

const dated = chatTemplate('t', "{{ strftime_now('%d %b %Y') }}", {});
const plain = chatTemplate('t', 'no date', {});
const text = (template: typeof dated | undefined) => template?.render({ messages: [] }, { addGenerationPrompt: false });

describe('the date that a template prints', () => {
  test('is the one of the run file, whatever the day is', async () => {
    const asked = run({ template_date: '2024-07-26' });
    expect(await withTemplateDate(asked, dated, undefined)).toEqual(asked);
    expect(text(datedTemplate(asked, dated))).toBe('26 Jul 2024');
  });

  test('is that of the day on which the run began, when it goes on', async () => {
    const store = new MemoryStore();
    store.files.set('run.yaml', encodeUtf8(formatRunConfig(run({ template_date: '2025-01-02' }))));
    const resumed = await withTemplateDate(run(), dated, store);
    expect(resumed.template_date).toBe('2025-01-02');
    expect(text(datedTemplate(resumed, dated))).toBe('02 Jan 2025');
  });

  test('is today, and written down, when a run begins', async () => {
    const begun = await withTemplateDate(run(), dated, new MemoryStore());
    expect(begun.template_date).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(text(datedTemplate(begun, dated))).toBe(text(dated));
  });

  test('is nothing to a template without one', async () => {
    expect((await withTemplateDate(run(), plain, undefined)).template_date).toBeUndefined();
    expect(text(datedTemplate(run({ template_date: '2024-07-26' }), plain))).toBe('no date');
    expect(datedTemplate(run(), undefined)).toBeUndefined();
  });

  test('must be a day', async () => {
    for (const wrong of ['yesterday', '2024-02-31', '26.07.2024']) {
      await expectError(() => run({ template_date: wrong }), 'bad-config', /template_date must be a day/);
    }
  });
});
