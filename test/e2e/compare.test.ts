/** Two runs beside each other, and what a run has kept that stopped early. */
import { expect } from 'vitest';
import { formatLoss } from '../../src/ui/format';
import { test } from '../support/browser';
import { axeViolations, GraftPage } from '../support/page';

const RUN = `per_device_train_batch_size: 4
gradient_accumulation_steps: 1
max_length: 32
lora_r: 4
val_set_size: 2
`;

test('the newest two runs are compared unasked, and again after a reload, by what an early stop has kept', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useTinyModel();
  await graft.useRunFile(`${RUN}max_steps: 3\n`);
  await graft.start();
  await graft.state('finished');
  await graft.useRunFile(`${RUN}max_steps: 400\nlearning_rate: 0.05\neval_steps: 2\nearly_stopping_patience: 2\n`);
  await graft.start();
  await graft.state('finished');
  const log = JSON.parse((await graft.download('trainer_state.json')).toString()) as {
    global_step: number;
    log_history: { eval_loss?: number }[];
  };
  const losses = log.log_history.flatMap(({ eval_loss }) => eval_loss ?? []);
  const best = formatLoss(Math.min(...losses));
  expect(formatLoss(losses.at(-1))).not.toBe(best); // it stopped for that
  expect(log.global_step).toBeLessThan(400);

  // The figure is of the steps that there were, and the held-out loss that of the step that was kept.
  for (const when of ['at its end', 'after a reload']) {
    if (when === 'after a reload') await page.reload();
    await graft.openPart('Overview');
    await graft.state('finished');
    expect(await graft.at('status').innerText(), when).toContain(`at step ${log.global_step} of 400`);
    const heldOut = page.locator('dl.details div').filter({ hasText: 'Held-out loss' });
    expect(await heldOut.locator('dd').innerText(), when).toBe(best);
    const over = page.locator('.u-over');
    const { width, height } = (await over.boundingBox())!;
    await over.hover({ position: { x: width / 2, y: height / 2 } });
    const step = Number(/step (\d+)/.exec(await page.locator('.values').innerText())?.[1]);
    expect(Math.abs(step - log.global_step / 2), when).toBeLessThan(0.2 * log.global_step);
  }

  // Two runs of one name could not be told apart.
  await graft.openRuns();
  const [second, first] = await graft.at('run-link').allInnerTexts();
  await page.getByRole('button', { name: `Rename ${second}`, exact: true }).click();
  await page.getByLabel('New name').fill(` ${first} `);
  await graft.at('name-taken').waitFor();
  await page.keyboard.press('Enter');
  expect(await page.getByLabel('New name').isVisible()).toBe(true);
  expect(await axeViolations(page)).toEqual([]);
  await page.getByLabel('New name').fill('stopped early');
  await page.keyboard.press('Enter');
  await graft.at('run-link').getByText('stopped early', { exact: true }).waitFor();

  await graft.at('compare-runs').click();
  await graft.at('compare-facts').waitFor();
  const names = await graft.at('compare-facts').locator('thead a').allInnerTexts();
  expect(names).toEqual([first, 'stopped early']);
  const facts = await graft.at('compare-facts').innerText();
  expect(facts).toContain(best);
  await page.reload();
  await graft.at('compare-facts').waitFor();
  expect(await graft.at('compare-facts').innerText()).toBe(facts);

  // A run beside itself is no pair.
  for (const [at, offered] of ['stopped early', first].entries()) {
    const options = graft.at(`compare-run-${at}`).locator('option:not(:disabled)');
    expect(await options.count()).toBe(1);
    expect(await options.innerText()).not.toBe(offered);
  }
});
