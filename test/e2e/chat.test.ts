/** Talking to a model: streaming, several turns, limits and stopping. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { trainEvalSplit } from '../../src/data/batches';
import { test } from '../support/browser';
import { axeViolations, crash, GraftPage, layoutShift, screenshotWhole } from '../support/page';

test('the base model answers before anything is trained, remembers, and can be cleared', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.openBaseChat();
  await page.getByText('How it answers').click();
  const summary = graft.at('sampling-summary');
  await summary.getByText("the model's own: temperature 0,").waitFor(); // as its generation_config.json says
  expect(await graft.at('max-new-tokens').inputValue()).toBe('64');
  expect(await graft.at('context-room').innerText()).toMatch(/fills 0 of 512 tokens.*takes [\d.]+ MiB of GPU memory/);
  await graft.at('temperature').fill('0.5');
  await summary.getByText('temperature 0.5 (changed)').waitFor();
  await graft.at('sampling-reset').click();
  await summary.getByText('temperature 0,').waitFor();
  await graft.at('max-new-tokens').fill('');
  await page.getByText('Maximum new tokens is empty: give a whole number from 1 to 512.').first().waitFor();
  await graft.at('chat-input').fill('Not yet.');
  expect(await graft.at('send').isDisabled()).toBe(true);
  await graft.at('max-new-tokens').fill('6');
  const ask = async (question: string) => {
    await graft.at('chat-input').fill(question);
    await graft.at('chat-input').press('Enter');
    await graft.at('question').filter({ hasText: question }).waitFor();
    await graft.at('base-answer').last().and(page.locator('[data-state=done]')).waitFor();
    return graft.at('base-answer').last().innerText();
  };
  const first = await ask('Tell me a story about a tree.');
  expect(first).not.toBe('');
  expect(await graft.at('asks-alone').isChecked()).toBe(false); // a base model is held a conversation with
  await ask('And then?');
  expect(await graft.at('base-answer').count()).toBe(2);
  expect(await graft.at('tuned-answer').count()).toBe(0);
  expect(await graft.at('context-room').innerText()).toMatch(/fills [1-9]\d* of 512 tokens/);

  await graft.at('chat-clear').click();
  expect(await graft.at('base-answer').count()).toBe(0);
  // Greedy, and nothing is remembered: the same question gets the same answer.
  expect(await ask('Tell me a story about a tree.')).toBe(first);

  // The system prompt is a part of the conversation: both are there after a reload.
  await graft.at('system-prompt').fill('Speak of the sea.');
  const alone = await graft.at('context-room').innerText();
  await ask('Now one about a ship.');
  const tokens = (text: string) => Number(/fills (\d+)/.exec(text)![1]);
  expect(tokens(await graft.at('context-room').innerText())).toBeGreaterThan(tokens(alone) + 10);
  await page.reload();
  await page.getByText('How it answers').click();
  expect(await graft.at('max-new-tokens').inputValue()).toBe('6');
  await expect.poll(() => graft.at('system-prompt').inputValue()).toBe('Speak of the sea.');
  await expect.poll(() => graft.at('question').count()).toBe(2);

  // Settings that were kept before there were min_p and repetition_penalty.
  const kept = { temperature: 0, topP: 0.8, maxNewTokens: 7, seed: 1, stop: '' };
  await page.evaluate((values) => {
    localStorage.removeItem('graft.sampling-changes');
    localStorage.setItem('graft.sampling', JSON.stringify(values));
  }, kept);
  await page.reload();
  await page.getByText('How it answers').click();
  await expect.poll(() => graft.at('max-new-tokens').inputValue()).toBe('7');
  expect([await graft.at('min-p').inputValue(), await graft.at('repetition-penalty').inputValue()]).toEqual(['0', '1']);
  await graft.at('repetition-penalty').fill('1.5');
  await page.reload();
  await page.getByText('How it answers').click();
  expect(await graft.at('repetition-penalty').inputValue()).toBe('1.5');
});

test('an answer can be stopped, and what was shown of one outlives its tab', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.openBaseChat();
  await page.getByText('How it answers').click();
  await graft.at('temperature').fill('2');
  await graft.at('top-p').fill('1');
  await graft.at('max-new-tokens').fill('400');
  await graft.at('chat-input').fill('Tell me everything.');
  await graft.at('send').click();
  await page.locator('[data-testid=base-answer][data-state=writing]').waitFor();
  await graft.at('chat-stop').click();
  await page.locator('[data-testid=base-answer][data-state=stopped]').waitFor();
  await graft.at('send').waitFor();
  const focused = () => page.evaluate(() => (document.activeElement as HTMLElement).dataset['testid']);
  expect(await focused()).toBe('chat-input');
  const stopped = await graft.at('base-answer').innerText();

  await graft.at('chat-input').fill('Tell me more.');
  await graft.at('send').click();
  const writing = page.locator('[data-testid=base-answer][data-state=writing]');
  await expect.poll(async () => (await writing.allInnerTexts()).join('').length).toBeGreaterThan(20);
  const shown = await writing.innerText();
  const reopened = await page.context().newPage();
  const place = page.url();
  await crash(page);
  await reopened.goto(place);
  const again = new GraftPage(reopened);
  await reopened.locator('[data-testid=base-answer][data-state=cut-off]').waitFor();
  expect(await again.at('question').allInnerTexts()).toEqual([
    expect.stringContaining('Tell me everything.'),
    expect.stringContaining('Tell me more.'),
  ]);
  const [first, second] = await again.at('base-answer').allInnerTexts();
  expect(first).toBe(stopped);
  expect(second!.startsWith(shown)).toBe(true);
  await reopened.getByText('cut off when the page was closed').waitFor();
});

test('base and tuned answer side by side, and are compared on what was taught and on what was never seen', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useRunFile('max_steps: 2\nmax_train_samples: 4\nper_device_train_batch_size: 2\nlearning_rate: 1.0e-3\n');
  await graft.at('held-out').getByText('4 rows are too few to hold any out').waitFor();
  await graft.setting('max_train_samples', '12');
  await graft.at('held-out').getByText('Optional: hold out 3 of the 12 rows?').waitFor();
  await graft.at('hold-out').click(); // what is proposed, with one press
  await graft.at('held-out').getByText('3 of 12 rows are held out').waitFor();
  await graft.at('train-on-all').click();
  await graft.at('held-out').getByText("can't be known").waitFor();
  await graft.at('hold-out').click();
  await graft.at('held-out').getByText('3 of 12 rows are held out').waitFor();
  await graft.start();
  await graft.state('finished');

  const rows = readFileSync('public/datasets/title-fees.jsonl', 'utf8').split('\n').slice(0, 12);
  const questions = rows.map((row) => (JSON.parse(row) as { question: string }).question);
  // What an earlier version of the page kept of the conversation is there, and moves.
  const id = decodeURIComponent(/runs\/([^/?]+)/.exec(page.url())![1]!);
  const earlier = [{ question: 'Asked before?', base: { text: 'Yes.', state: 'done' } }];
  await page.evaluate(
    ([name, turns]) => localStorage.setItem(name!, turns!),
    [`graft.chat-${id}`, JSON.stringify(earlier)],
  );
  await graft.openPart('Chat');
  await page.getByPlaceholder(questions[0]!).waitFor(); // a question of the run's own data
  await graft.at('question').getByText('Asked before?').waitFor();
  await expect.poll(() => page.evaluate((name) => localStorage.getItem(name), `graft.chat-${id}`)).toBe(null);
  await page.getByText('How it answers').click();
  await graft.at('max-new-tokens').fill('5');
  await graft.at('chat-input').fill('What does it mean to waive a title fee?');
  await graft.at('send').click();
  for (const voice of ['base', 'tuned']) {
    await page.locator(`[data-testid=${voice}-answer][data-state=done]`).waitFor({ timeout: 60_000 });
  }
  // The run was taught answers to single questions, and is asked as it was taught; a visitor may want it otherwise.
  const filled = async () => Number(/fills (\d+)/.exec(await graft.at('context-room').innerText())![1]);
  const alone = await filled();
  const askAgain = async (turns: number) => {
    await graft.at('chat-input').fill('What does it mean to waive a title fee?');
    await graft.at('send').click();
    await expect
      .poll(() => page.locator('[data-testid=tuned-answer][data-state=done]').count(), { timeout: 60_000 })
      .toBe(turns);
    return filled();
  };
  expect(await graft.at('asks-alone').isChecked()).toBe(true);
  expect(await askAgain(2)).toBe(alone);
  await graft.at('asks-alone').uncheck();
  await page.reload();
  await page.getByText('How it answers').click();
  expect(await graft.at('asks-alone').isChecked()).toBe(false);
  // What is asked next is in view, however long the answers above it have grown.
  await page.setViewportSize({ width: 360, height: 640 });
  expect(await askAgain(3)).toBeGreaterThan(alone + 20);
  const below = () => graft.at('chat-input').evaluate((field) => innerHeight - field.getBoundingClientRect().bottom);
  expect(await below()).toBeGreaterThan(0);
  await page.setViewportSize({ width: 1280, height: 720 });

  await graft.openPart('Evaluate');
  await graft.at('compare-limit').fill('');
  await page.getByText('Questions of each kind is empty').waitFor(); // and not some number instead
  expect(await graft.at('compare-start').isDisabled()).toBe(true);
  await graft.at('compare-limit').fill('2');
  await graft.at('compare-start').click();
  await page.locator('[data-testid=compare-summary][data-complete=true]').waitFor({ timeout: 120_000 });
  // The run's own split: what it never saw comes first and is counted apart.
  const split = trainEvalSplit(questions, 0.2, 42);
  expect(await graft.at('compare-question').allInnerTexts()).toEqual([
    ...split.eval.slice(0, 2),
    ...split.train.slice(0, 2),
  ]);
  expect(await graft.at('compare-kind').allInnerTexts()).toEqual(['Never seen', 'Never seen', 'Taught', 'Taught']);
  expect(await graft.at('compare-base').count()).toBe(4);
  expect(await graft.at('compare-tuned').count()).toBe(4);
  const verdicts = await graft.at('compare-row').locator('.verdict').allInnerTexts();
  for (const [i, part] of ['unseen', 'taught'].entries()) {
    const [base, tuned] = [0, 1].map((voice) => {
      const scores = [0, 1].map((row) => verdicts[2 * (2 * i + row) + voice]);
      return `${scores.filter((text) => text === '✓ exact').length}/2`;
    });
    expect([await graft.at(`${part}-base`).innerText(), await graft.at(`${part}-tuned`).innerText()]).toEqual([
      base,
      tuned,
    ]);
  }
  await page.setViewportSize({ width: 360, height: 800 });
  for (const answer of await graft.at('compare-tuned').all()) {
    const box = (await answer.boundingBox())!; // to be read without scrolling sideways
    expect(box.x).toBeGreaterThanOrEqual(0);
    expect(box.x + box.width).toBeLessThanOrEqual(360);
  }
  expect(await axeViolations(page)).toEqual([]);
  // A box that ends between two answers says that there are more.
  await graft.at('answers-more').waitFor();
  await page.getByRole('region', { name: 'Answers' }).evaluate((box) => box.scrollTo(0, box.scrollHeight));
  await graft.at('answers-more').waitFor({ state: 'detached' });
  await page.setViewportSize({ width: 1280, height: 720 });

  for (const width of [1360, 360]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await axeViolations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    await screenshotWhole(page, `test/results/page-trained-${width}.png`);
  }
  const answers = await graft.at('compare-tuned').allInnerTexts();
  await page.reload(); // what was answered is still there
  await graft.at('compare-row').first().waitFor();
  expect(await graft.at('compare-tuned').allInnerTexts()).toEqual(answers);
  await graft.openPart('Chat');
  await graft.at('tuned-answer').last().waitFor();
  expect(await graft.at('question').count()).toBe(4);

  // The end of the run shows what it knows, and leads on.
  await graft.openPart('Overview');
  expect(await graft.at('knows').getByTestId('unseen-tuned').innerText()).toMatch(/^\d\/\d$/);
  expect(await graft.at('knows-example').innerText()).toContain(split.eval[0]!);
  expect(await graft.at('usage-whereabouts').innerText()).toContain('public/models/starter');
  expect(await graft.at('usage-python').innerText()).toContain(
    'PeftModel.from_pretrained(base, "starter-on-title-fees-first-12")',
  );
  expect(await graft.at('usage-python').innerText()).not.toContain('from_pretrained("starter")'); // no one else has it
  await graft.at('ask-it').click();
  await graft.at('chat-input').waitFor();
  await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('chat-question');
  // What is typed beside the end of a run is asked at once.
  const asked = await page.locator('[data-testid=tuned-answer]').count();
  await graft.openPart('Overview');
  await graft.at('ask-question').fill('Who pays the fee?');
  await graft.at('ask-question').press('Enter');
  await page.locator('[data-testid=tuned-answer][data-state=done]').nth(asked).waitFor({ timeout: 60_000 });
  await page.getByText('Who pays the fee?').waitFor();
  expect(await graft.at('chat-input').inputValue()).toBe('');
  // It is what the chat has in its field, and it waits for the answer that is being written.
  await graft.at('chat-input').fill('And who gets it back?');
  await graft.openPart('Overview');
  expect(await graft.at('ask-question').inputValue()).toBe('And who gets it back?');
  await graft.openPart('Chat');
  await graft.at('chat-input').press('Enter');
  await graft.openPart('Overview');
  await graft.at('ask-question').fill('By when?');
  await graft.openPart('Settings');
  await graft.openPart('Overview');
  expect(await graft.at('ask-question').inputValue()).toBe('By when?');
  await graft.at('ask-question').press('Enter');
  await page
    .locator('[data-testid=tuned-answer][data-state=done]')
    .nth(asked + 2)
    .waitFor({ timeout: 60_000 });
  expect(await graft.at('question').allInnerTexts()).toEqual(
    expect.arrayContaining([expect.stringContaining('And who gets it back?'), expect.stringContaining('By when?')]),
  );
  expect(await graft.at('chat-input').inputValue()).toBe('');

  // Nothing moves by itself where a part of the run comes back, however far down it was.
  await page.setViewportSize({ width: 360, height: 800 });
  for (const part of ['Overview', 'Chat', 'Evaluate', 'Settings', 'Files'] as const) {
    await graft.openPart(part);
    await page.waitForTimeout(300);
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await page.waitForTimeout(300); // the history is told when the scrolling is over
    await page.reload();
    await page.getByRole('heading', { level: 2, name: part }).waitFor();
    await page.waitForTimeout(700); // what comes by and by
    expect(await page.evaluate(layoutShift), part).toBeLessThan(0.02);
  }
  await page.setViewportSize({ width: 1280, height: 720 });

  // A tab that dies while it asks has lost no answer that was shown.
  await graft.openPart('Evaluate');
  await graft.at('compare-limit').fill('3');
  await graft.at('compare-start').click();
  await page.getByText('of 6 questions answered by both').waitFor({ timeout: 60_000 });
  const texts = (graft: GraftPage) => graft.at('compare-base').allInnerTexts();
  const shown = await texts(graft);
  const place = page.url();
  const reopened = await page.context().newPage();
  await crash(page);
  await reopened.goto(place);
  const again = new GraftPage(reopened);
  await again.at('compare-row').first().waitFor();
  expect((await texts(again)).slice(0, shown.length)).toEqual(shown);

  await again.openPart('Overview');
  await again.at('evaluate-now').click(); // again, for the tab died
  await again.at('evaluate-stop').waitFor();
  await again.at('evaluate-stop').waitFor({ state: 'detached', timeout: 120_000 });
  await expect.poll(() => reopened.evaluate(() => document.activeElement?.localName)).toBe('a'); // and not the body

  // Another run beside it, of other settings.
  await again.useRunFile('max_steps: 1\nmax_train_samples: 12\nval_set_size: 0.2\nper_device_train_batch_size: 2\n');
  await again.start();
  await again.state('finished');
  await again.at('knows').getByTestId('evaluate-now').waitFor();
  const loss = await again.at('loss').innerText();
  await again.openRuns();
  await again.at('library-row').first().getByText(`loss ${loss}`).waitFor(); // the same figure, the same word
  await again.openRun();
  await again.at('compare-with-before').click();
  await again.at('pair-scores').waitFor();
  expect(await again.at('pair-unseen').allInnerTexts()).toEqual([
    expect.stringMatching(/^\d\/\d/),
    expect.stringContaining('Not evaluated'),
  ]);
  expect(await again.at('compare-question').count()).toBeGreaterThan(0);
  await again.at('evaluate-now').click();
  await reopened.getByText(/[1-9]\d* of \d+ questions answered by both/).waitFor({ timeout: 120_000 });
  await again
    .at('evaluate-stop')
    .click({ timeout: 5000 })
    .catch(() => undefined); // it may be over by then
  await expect.poll(() => again.at('pair-unseen').last().innerText()).toMatch(/^\d\/\d/);
  for (const at of [0, 1]) expect(await again.at(`pair-answer-${at}`).count()).toBeGreaterThan(0);
  await again.at('ask-both').fill('What is a title fee?');
  await again.at('ask-both').press('Enter');
  for (const at of [0, 1]) {
    await reopened.locator(`[data-testid=both-${at}][data-state=done]`).waitFor({ timeout: 120_000 });
  }
  expect(await reopened.evaluate(() => document.activeElement?.localName)).toBe('textarea');
  const both = await reopened.getByTestId(/^both-/).allInnerTexts();
  // Scores and answers come back, and nothing moves for them, wherever the visitor was on the page.
  await reopened.setViewportSize({ width: 360, height: 800 });
  for (const place of [0, 1]) {
    await reopened.evaluate((part) => scrollTo(0, part * document.body.scrollHeight), place);
    await reopened.waitForTimeout(300); // the history is told when the scrolling is over
    await reopened.reload();
    await again.at('both-1').waitFor();
    await reopened.waitForTimeout(700); // what comes by and by
    expect(await reopened.evaluate(layoutShift), `${place} of the page`).toBeLessThan(0.02);
  }
  expect(await reopened.getByTestId(/^both-/).allInnerTexts()).toEqual(both);
  for (const width of [1360, 360]) {
    await reopened.setViewportSize({ width, height: 900 });
    expect(await axeViolations(reopened)).toEqual([]);
    expect(await reopened.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    await screenshotWhole(reopened, `test/results/page-compare-${width}.png`);
  }
  for (const answer of await reopened.getByTestId(/^(both|pair-answer)-/).all()) {
    const box = (await answer.boundingBox())!;
    expect(box.x).toBeGreaterThanOrEqual(0);
    expect(box.x + box.width).toBeLessThanOrEqual(360);
  }

  await again.openRuns();
  for (let left = 1; left >= 0; left--) {
    await reopened
      .getByRole('button', { name: /^Delete starter on/ })
      .first()
      .click();
    expect(await axeViolations(reopened)).toEqual([]);
    await again.at('confirm').click();
    await expect.poll(() => again.at('library-row').count()).toBe(left);
  }
});
