/** What others wrote and never comes to an end, or to none that anybody waits for: it costs its own job, and nothing else. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from '../support/browser';
import { HANGING_TEXT, writeHangingModel } from '../support/hanging-model';
import { GraftPage } from '../support/page';

/** A file of two rows, the second of which has 100 MB of words: more than a row may have. */
async function writeLongRow(): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), 'graft-')), 'long.jsonl');
  await writeFile(
    path,
    [{ text: 'Once.' }, { text: 'a word '.repeat(2 ** 24) }].map((one) => JSON.stringify(one)).join('\n'),
  );
  return path;
}

const row = (question: string) => `${JSON.stringify({ question, answer: 'A branch.' })}\n`;

test('a row that is too long is named at once, a run trains on meanwhile, and a reload opens', async ({
  page,
  site,
}) => {
  const long = await writeLongRow();
  const graft = await GraftPage.open(page, site);
  await graft.useRunFile('max_steps: 24\nmax_train_samples: 16\n');
  await graft.start();
  await graft.firstStep();
  const step = async () => Number(/Step (\d+)/.exec(await graft.at('dock-status').innerText())?.[1]);
  await graft.openWorkbench();
  const stepBefore = await step();
  await graft.at('dataset-file').setInputFiles(long);
  const error = graft.at('data-error').filter({ hasText: /long\.jsonl.*8,388,608/s });
  await error.waitFor({ timeout: 60_000 });
  // The run is not held up.
  await page.waitForFunction(
    (before) => {
      const status = document.querySelector('[data-testid=dock-status]')?.textContent;
      return status === undefined || Number(/Step (\d+)/.exec(status ?? '')?.[1]) > before; // no dock: it is finished
    },
    stepBefore,
    { timeout: 120_000 },
  );
  if (await graft.at('cancel').isVisible()) await graft.at('cancel').click();
  await graft.at('cancel').waitFor({ state: 'detached', timeout: 120_000 });

  await graft.useData('good.jsonl', row('What is a graft?').repeat(3));
  await graft.at('data-facts').getByText('question-answer', { exact: true }).waitFor();
  await graft.at('dataset-file').setInputFiles(long);
  await error.waitFor({ timeout: 60_000 });
  await page.reload();
  await error.waitFor({ timeout: 60_000 });
  await page.getByRole('button', { name: 'Use the policy pairs' }).click();
  await graft.at('data-facts').getByText('question-answer', { exact: true }).waitFor();
});

test('a tokenizer whose regular expression would never end opens, and reads what would hang it', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useFolder(await writeHangingModel());
  await graft.at('model-name').getByText('hanging', { exact: true }).waitFor();
  await graft.useData('letters.jsonl', row(HANGING_TEXT).repeat(3));
  await graft.at('data-facts').getByText('3', { exact: true }).waitFor();
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
      .filter({ hasText: /The chat template in chat_template of the run was stopped/ })
      .waitFor({ timeout: 60_000 });
    await graft.useRunFile('max_steps: 1\n');
    await graft.at('data-facts').getByText('question-answer', { exact: true }).waitFor();
  }
});
