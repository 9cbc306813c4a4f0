/** What others wrote and never comes to an end: it costs its own job, and nothing else. */
import { expect } from 'vitest';
import { test } from '../support/browser';
import { HANGING_TEXT, writeHangingModel } from '../support/hanging-model';
import { GraftPage } from '../support/page';

const row = (question: string) => `${JSON.stringify({ question, answer: 'A branch.' })}\n`;

test('a tokenizer that never ends over a row is stopped and named, another run trains on, and a reload opens', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.start();
  await graft.firstStep();

  await graft.at('model-folder').setInputFiles(await writeHangingModel());
  await graft.at('model-name').getByText('hanging', { exact: true }).waitFor();
  const stepBefore = Number((await graft.at('step').innerText()).match(/\d+/)?.[0]);
  await graft.useData('evil.jsonl', row('What is a graft?') + row(HANGING_TEXT));
  const error = graft.at('data-error').filter({ hasText: /evil\.jsonl with hanging did not come to an end/ });
  await error.waitFor({ timeout: 20_000 });
  expect(await error.innerText()).toContain('tokenizer.json');
  // The run on the other model is not held up.
  await page.waitForFunction(
    (before) =>
      Number(/\d+/.exec(document.querySelector('[data-testid=step]')?.textContent ?? '')?.[0]) > before ||
      document.querySelector('[data-testid=status]')?.getAttribute('data-state') === 'finished',
    stepBefore,
  );
  await graft.state('finished');

  // Other data are read, in a worker that was started anew.
  await graft.useData('good.jsonl', row('What is a graft?').repeat(3));
  await graft.at('data-facts').getByText('question-answer', { exact: true }).waitFor();

  // The same is refused at once from now on, after a reload too, until somebody asks to try again.
  await graft.useData('evil.jsonl', row('What is a graft?') + row(HANGING_TEXT));
  await error.waitFor({ timeout: 20_000 });
  await page.reload();
  await graft.at('model-name').getByText('hanging', { exact: true }).waitFor();
  await error.waitFor({ timeout: 2000 });
  await page.getByRole('button', { name: 'Use the policy pairs' }).click();
  await graft.at('data-facts').getByText('32', { exact: true }).waitFor();
});

test('a model that never ends opening leaves the one before, and a page that a reload opens', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.at('model-folder').setInputFiles(await writeHangingModel({ atOpening: true }));
  await graft
    .at('model-error')
    .filter({ hasText: /Opening hanging did not come to an end/ })
    .waitFor({ timeout: 20_000 });
  await graft.at('data-facts').getByText('question-answer', { exact: true }).waitFor();
  await page.reload();
  await graft.at('data-facts').getByText('question-answer', { exact: true }).waitFor();
});

test('a chat template that never ends, or builds too much, is stopped and says so', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  const cases = {
    loop: '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
    size: "{% set ns = namespace(x='x' * 1000) %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
  };
  for (const template of Object.values(cases)) {
    await graft.useRunFile(`max_steps: 1\nchat_template: ${JSON.stringify(template)}\n`);
    await graft
      .at('data-error')
      .filter({ hasText: /chat_template of the run/ })
      .waitFor({ timeout: 20_000 });
    await graft.useRunFile('max_steps: 1\n');
    await graft.at('data-facts').getByText('question-answer', { exact: true }).waitFor();
  }
});
