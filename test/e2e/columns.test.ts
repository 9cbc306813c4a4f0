/** A way in for what people have: tables, text, columns with names of their own, and rows that are broken. */
import { readFile } from 'node:fs/promises';
import { describe, expect } from 'vitest';
import { test } from '../support/browser';
import { axeViolations, GraftPage, layoutShift } from '../support/page';

const FAQ = Array.from(
  { length: 12 },
  (_, i) => [`How much is item ${i}?`, `It costs ${i + 3} dollars, "all in".`] as const,
);
/** Waits until as many examples as these are read. */
const examples = (graft: GraftPage, count: number | string) =>
  graft
    .at('data-facts')
    .filter({ hasText: new RegExp(`Examples\\s*${count}\\D`) })
    .waitFor();
const quoted = (cell: string) => `"${cell.replaceAll('"', '""')}"`;

test('a table whose columns are named otherwise is read with one press, and as each is chosen', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  const table = ['Nr;Frage;Antwort', ...FAQ.map(([q, a], i) => `${i};${quoted(q)};${quoted(a)}`)].join('\r\n');
  await graft.useData('preise.csv', table);
  await graft.at('data-error').filter({ hasText: 'Nr, Frage and Antwort' }).waitFor();
  expect(await graft.at('start').isEnabled()).toBe(false);

  for (const width of [1360, 360]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await axeViolations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  }
  await graft.at('column-question').selectOption({ label: 'Frage: How much is item 0?' });
  // One of two: what is still missing is said, in place of what was wrong before.
  const missing = '“Frage” is chosen: choose the column of the answer as well.';
  expect(await graft.at('data-error').innerText()).toBe(`The data can't be used yet. ${missing}`);
  expect(await graft.at('start-obstacle').innerText()).toContain(missing);
  await graft.at('next-action').click();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('columns');
  await graft.at('column-answer').selectOption('2');
  await examples(graft, 12);
  // A column that is taken back is none that a run reads by.
  await graft.at('column-question').selectOption({ label: 'none' });
  const open = '“Antwort” is chosen: choose the column of the question as well.';
  await graft.at('start-obstacle').filter({ hasText: open }).waitFor();
  expect(await graft.at('start').isEnabled()).toBe(false);
  await graft.at('column-question').selectOption('1');
  await graft.at('start').and(page.locator(':enabled')).waitFor();
  expect(await graft.at('tokens').textContent()).toContain('It·costs·3·dollars,·"all·in".');
  expect(await graft.at('data-notices').innerText()).toContain('column Nr');

  // Two columns need no choice; and without names in its first line, that line is a row.
  await graft.useData('faq.csv', FAQ.map(([q, a]) => `${quoted(q)},${quoted(a)}`).join('\n'));
  await graft.at('data-error').waitFor();
  await graft.at('columns-suggested').click();
  await examples(graft, 11);
  await page.getByLabel('The first line is a row').check();
  await examples(graft, 12);

  // The only column of a table can be the text.
  await graft.useData('reviews.csv', 'review\nGood.\n"Bad, mostly."\n');
  await graft.at('data-error').filter({ hasText: 'the one column review' }).waitFor();
  await graft.at('column-text').selectOption({ label: 'review: Good.' });
  await examples(graft, 2);
});

test("a first visit leads to data of one's own at once: a file is chosen where it is spoken of, or text pasted", async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.at('welcome-paste').click();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('dataset-text');
  const faq = { name: 'own.csv', mimeType: 'text/csv', buffer: Buffer.from('question,answer\nWho?,Me\nWhy?,So\n') };
  await graft.at('welcome-file').setInputFiles(faq);
  expect(await graft.at('dataset-name').innerText()).toBe('own.csv');
  await graft.at('data-facts').getByText('2', { exact: true }).first().waitFor();
  const top = () => page.locator('#data').evaluate((section) => section.getBoundingClientRect().top);
  await expect.poll(top).toBeLessThan(200);
});

describe('on a narrow screen', () => {
  test.override({
    contextOptions: { viewport: { width: 360, height: 740 }, permissions: ['clipboard-read', 'clipboard-write'] },
  });

  test('what is pasted is used at once, beside every field too: Start is the next thing to press', async ({
    page,
    site,
  }) => {
    const graft = new GraftPage(page);
    await page.goto(site.url);
    await graft.at('step-data').getByText('111 rows').waitFor();
    const paste = async (text: string) => {
      await page.evaluate((copied) => navigator.clipboard.writeText(copied), text);
      await page.keyboard.press('ControlOrMeta+v');
    };
    const faq = FAQ.map(([q, a]) => `Q: ${q}\nA: ${a}\n`).join('\n');
    const isReady = async (rows: number | string) => {
      await examples(graft, rows);
      await graft.at('next-run').filter({ hasText: 'starter on pasted.txt' }).waitFor();
      await graft.at('start').and(page.locator(':enabled')).waitFor();
      const isFree = graft.at('start').evaluate((button) => {
        const { top, bottom, left, right } = button.getBoundingClientRect();
        return document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === button;
      });
      expect(await isFree).toBe(true);
    };
    await graft.at('welcome-paste').click();
    await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('dataset-text');
    await paste(faq);
    await isReady(12);
    // What is typed on is used when the field is left.
    await page.keyboard.type('Q: One more?\nA: Yes.');
    await graft.at('start-obstacle').getByText('The pasted text is not used yet.').waitFor();
    await page.keyboard.press('Tab');
    await isReady(13);

    // A text that no browser edits without stopping at each key is shown by its beginning.
    await graft.at('dataset-text').focus();
    await page.keyboard.press('ControlOrMeta+a');
    await paste(faq.repeat(100));
    await isReady('1,200');
    expect(await graft.at('long-text').innerText()).toMatch(
      /^[\d.]+ KiB of text, 3,500 lines, which begins:\s+Q: How much/,
    );
    expect(await graft.at('dataset-text').count()).toBe(0);
    expect(await axeViolations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    await page.reload();
    await isReady('1,200');
    expect(await graft.at('long-text').isVisible()).toBe(true);
    await graft.at('remove-text').click();
    expect(await graft.at('dataset-name').innerText()).toBe('Title fee policy, built in');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('dataset-text');

    // Beside every field it is taken, too, and broken rows are skipped without a way to them.
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await paste('never mind');
    expect(await graft.at('dataset-name').innerText()).toBe('Title fee policy, built in');
    const rows = FAQ.slice(0, 4).map(([question, answer]) => JSON.stringify({ question, answer }));
    await paste([...rows, '{"question": "cut off'].join('\n'));
    await graft.at('start-skip-rows').click();
    await isReady(4);
    expect(await page.evaluate(() => document.activeElement?.tagName)).not.toBe('BODY');
  });
});

describe('what is pasted', () => {
  test.override({ contextOptions: { permissions: ['clipboard-read', 'clipboard-write'] } });

  test('goes to one place, as it is, and nothing of it is lost', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    const name = () => graft.at('dataset-name').innerText();
    const focus = () => page.evaluate(() => document.activeElement?.id);
    const paste = async (text: string) => {
      await page.evaluate((copied) => navigator.clipboard.writeText(copied), text);
      await page.keyboard.press('ControlOrMeta+v');
    };
    /** What the clipboard holds where files were copied, or cells of a spreadsheet, with a picture of them. */
    const pasteFiles = (names: string[], text = '') =>
      page.evaluate(
        ([names, text]) => {
          const clipboardData = new DataTransfer();
          if (text !== '') clipboardData.setData('text/plain', text);
          for (const name of names) {
            const type = name.endsWith('.png') ? 'image/png' : 'text/csv';
            clipboardData.items.add(new File(['question,answer\nWho?,Me\n'], name, { type }));
          }
          const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
          document.activeElement!.dispatchEvent(event);
        },
        [names, text] as const,
      );

    // Beside what takes text, whatever has the keyboard; a column of a spreadsheet ends in a million empty lines.
    await graft.at('start-preset').focus();
    await paste(`question${'\n'.repeat(500_000)}`);
    await paste('Q: Beside?\r\nA: Yes.\r\n\r\nQ: And?\r\nA: So.');
    await examples(graft, 2);
    await page.locator('#setting-learning_rate').focus();
    await paste('1e-3\n2e-3');
    expect(await name()).toBe('pasted.txt');
    await page.keyboard.press('ControlOrMeta+z');
    await page.locator('#data').focus();
    await pasteFiles(['image.png'], 'question\tanswer\nWho?\tMe\nWhy?\tSo\nWhen?\tNow');
    await examples(graft, 3);
    expect(await graft.at('dataset-text').inputValue()).toMatch(/^question\tanswer\n/);

    // A text field takes no file.
    await graft.at('dataset-text').focus();
    await pasteFiles(['own.csv', 'other.csv']);
    expect(await name()).toBe('own.csv');
    expect(await graft.at('left-out-files').innerText()).toBe(
      'Data are one file: own.csv is in use, and other.csv is not.',
    );

    // What was typed is used when the field is left, in whichever way, and is not lost to what is pasted beside it.
    await graft.at('paste-text').click();
    await graft.at('dataset-text').fill('Q: Typed?\nA: Yes.');
    await graft.at('paste-text').click();
    expect(await name()).toBe('pasted.txt');
    expect(await graft.at('left-out-files').count()).toBe(0);
    await graft.at('paste-text').click();
    await graft.at('dataset-text').fill('Q: Typed?\nA: Yes.\n\nQ: More?\nA: No.\n');
    await page.reload();
    await graft.at('start-obstacle').getByText('The pasted text is not used yet.').waitFor();
    await page.locator('#data').focus();
    await paste('Q: Beside?\nA: Yes.');
    await expect.poll(focus).toBe('dataset-text');
    expect(await graft.at('dataset-text').inputValue()).toBe('Q: Typed?\nA: Yes.\n\nQ: More?\nA: No.\n');
    await page.keyboard.press('Tab');
    await examples(graft, 2);

    // A long text has the line breaks of a short one, and no character is halved where it is cut.
    const faces = '😀'.repeat(200);
    await graft.at('dataset-text').focus();
    await page.keyboard.press('ControlOrMeta+a');
    await paste(`Q: Who?\r\nA: ${faces}\r\n\r\n`.repeat(150));
    await examples(graft, 150);
    expect(await page.locator('#dataset-text').innerText()).toMatch(/^Q: Who\?\nA: (😀)+…\n\nQ: Who/u);
    const [saved] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save it as a file' }).click(),
    ]);
    expect(await readFile(await saved.path(), 'utf8')).toBe(`Q: Who?\nA: ${faces}\n\n`.repeat(150));
  });
});

test('what was chosen for the data of one tab is not taken for those of another', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.useData('names.csv', 'Frage,Antwort\nWer?,Ich\nWas?,Das\nWo?,Da\n');
  await graft.at('column-question').selectOption({ index: 1 });
  await graft.at('column-answer').selectOption({ index: 2 });
  await examples(graft, 3);
  const beside = await GraftPage.open(await page.context().newPage(), site);
  await examples(beside, 3);
  await beside.useData('own.csv', 'question,answer\nWho?,Me\nWhy?,So\n');
  await examples(beside, 2);
  await beside.setting('max_train_samples', '1');
  await beside.at('paste-text').click();
  for (const [tab, count] of [
    [graft, 3],
    [beside, 1],
  ] as const) {
    await tab.page.reload();
    await examples(tab, count);
    expect(await tab.at('first-rows').inputValue()).toBe(tab === beside ? '1' : '');
    expect(await tab.at('dataset-text').count()).toBe(tab === beside ? 1 : 0);
    expect(await tab.at('data-error').count()).toBe(0);
  }
});

test('questions and answers may be pasted as text', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.at('paste-text').click();
  await graft.at('dataset-text').fill(FAQ.map(([q, a]) => `Q: ${q}\nA: ${a}\n`).join('\n'));
  // Nobody who types means what was there before, and whoever leaves the field means what is in it.
  expect(await graft.at('start').isDisabled()).toBe(true);
  await graft.at('next-action').click();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('dataset-text');
  await examples(graft, 12);
  await graft.at('start').and(page.locator(':enabled')).waitFor();
  await graft.at('text-state').getByText('It is in use as it stands: 12 rows.').waitFor();
  await graft.openModels();
  await graft.openWorkbench();
  expect(await graft.at('dataset-text').inputValue()).toContain('Q: ');
  await page.getByRole('button', { name: 'Use this text' }).click();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('data'); // and not the body
  await examples(graft, 12);
  expect(await graft.at('start-obstacle').count()).toBe(0);

  // What is in use can be looked at and written on, and what was not used yet outlives a reload.
  for (const when of ['at once', 'after a reload']) {
    if (when === 'after a reload') await page.reload();
    await graft.at('paste-text').click();
    // Opened before it is back, the field takes nothing that would be lost with it.
    await page.locator('#dataset-text:not([readonly])').waitFor();
    expect(await graft.at('dataset-text').inputValue(), when).toContain('Q: How much is item 11?');
    await graft.at('start').and(page.locator(':enabled')).waitFor();
    expect(await graft.at('start-obstacle').count()).toBe(0);
    await graft.at('paste-text').click();
  }
  await graft.at('paste-text').click();
  await graft.at('dataset-text').press('ControlOrMeta+End');
  await graft.at('dataset-text').pressSequentially('\nQ: And 12?\nA: More.');
  await graft.at('start-obstacle').getByText('The pasted text is not used yet.').waitFor();
  await page.reload();
  await graft.at('start-obstacle').getByText('The pasted text is not used yet.').waitFor();
  expect(await graft.at('dataset-text').inputValue()).toMatch(/item 0\?[^]*Q: And 12\?\nA: More\.$/);
  await page.getByRole('button', { name: 'Use this text' }).click();
  await examples(graft, 13);

  // Another tab begins with what this one has, and each keeps its own from then on.
  const page2 = await page.context().newPage();
  const beside = await GraftPage.open(page2, site);
  await examples(beside, 13);
  await beside.at('paste-text').click();
  await page2.locator('#dataset-text:not([readonly])').fill('Q: Of the other tab?\nA: Yes.');
  await page2.keyboard.press('Tab');
  await examples(beside, 1);
  await graft.at('paste-text').click();
  await page2.waitForTimeout(300); // until it is kept
  for (const [tab, count] of [
    [graft, 13],
    [beside, 1],
  ] as const) {
    await tab.page.reload();
    await examples(tab, count);
    const text = await tab.page.locator('#dataset-text').inputValue();
    expect(text.includes('Of the other tab?')).toBe(count === 1);
  }
  await page2.close();
  await graft.at('paste-text').click();

  // The field that was left open is there from the first moment, and what was deleted in it stays deleted.
  await graft.at('paste-text').click();
  for (const text of [/And 12\?/, /^$/]) {
    if (text.source === '^$') await graft.at('dataset-text').fill('');
    await page.waitForTimeout(300); // until it is kept
    await page.reload();
    await examples(graft, 13);
    await graft.at('start').and(page.locator(':enabled')).waitFor();
    expect(await graft.at('dataset-text').inputValue()).toMatch(text);
    expect(await page.evaluate(layoutShift)).toBeLessThan(0.02);
  }
});

test('broken rows are listed, each with its reason, and skipped when told; nothing begins before', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  const rows = FAQ.map(([question, answer]) => JSON.stringify({ question, answer }));
  rows[2] = '{"question": "cut off';
  rows[5] = '{"question": "What of this?", "answer": ""}';
  rows[7] = '["neither", "nor"]';
  await graft.useData('faq.jsonl', rows.join('\n'));
  const error = graft.at('data-error').filter({ hasText: '3 of 12 rows' });
  await error.waitFor();
  expect(await graft.at('start').isEnabled()).toBe(false);
  await graft.at('left-out').locator('li').last().waitFor(); // so few are shown unasked
  const listed = await graft.at('left-out').locator('li').allInnerTexts();
  expect(listed).toHaveLength(3);
  expect(listed.join('\n')).toMatch(
    /^Row 3 is not valid JSON.*\nRow 6 has an empty answer\.\nRow 8 is .*, but a row must be/,
  );

  expect(await graft.at('skip-rows').innerText()).toBe('Skip 3 and use 9');
  await graft.at('skip-rows').click();
  expect(await page.evaluate(() => document.activeElement?.ariaLabel)).toBe('The data as they are read');
  await error.waitFor({ state: 'detached' });
  await examples(graft, 9);
  await graft.at('start').and(page.locator(':enabled.primary')).waitFor();
  expect(await graft.at('quick-start').getAttribute('class')).not.toContain('primary'); // it would train something else
  await graft
    .at('start-cost')
    .filter({ hasText: /^9 of 12 rows · .* steps · (time shown once it trains|roughly .*)$/ })
    .waitFor();

  // What was allowed for these rows is not allowed for others, after a reload neither.
  await page.reload();
  await examples(graft, 9);
  await graft.useData('other.jsonl', rows.slice(0, 4).join('\n'));
  await graft.at('data-error').filter({ hasText: '1 of 4 rows' }).waitFor();
  expect(await graft.at('start').isDisabled()).toBe(true);
  // What a run file says holds for whatever is chosen after it.
  await graft.useRunFile('max_bad_rows: 0.5\n');
  await graft.useData('third.jsonl', rows.slice(0, 4).join('\n'));
  await examples(graft, 3);
});
