/** A run made to fit a budget of GPU memory, in the page. */
import { expect } from 'vitest';
import { test } from '../support/browser';
import { axeViolations, GraftPage } from '../support/page';

const RUN = `per_device_train_batch_size: 16
gradient_accumulation_steps: 1
gradient_checkpointing: false
max_train_samples: 16
`;
const MIB_IN_GIB = 1 / 1024;

/** What the page says in MiB, once it says anything. */
/** A plan takes as long as the computer has other things to do. */
const SOON = { timeout: 30_000 };

async function mebibytes(graft: GraftPage, testid: string): Promise<number> {
  await graft.at(testid).getByText('MiB').waitFor();
  return parseFloat(await graft.at(testid).innerText());
}

test('a run above the budget is changed until it fits, with reasons, and back', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await page.setViewportSize({ width: 360, height: 800 });
  await graft.useRunFile(RUN);
  await graft.at('plan').getByText('gradients').waitFor();
  await expect.poll(() => mebibytes(graft, 'plan-total'), SOON).toBeGreaterThan(40);
  const asked = await mebibytes(graft, 'plan-total');

  await graft.at('budget').fill(String(2 * asked * MIB_IN_GIB));
  await expect.poll(() => graft.at('budget-verdict').innerText(), SOON).toContain('It fits');
  expect(await graft.at('make-it-fit').isDisabled()).toBe(true);

  const budget = asked / 3;
  await graft.at('budget').fill(String(budget * MIB_IN_GIB));
  await expect.poll(() => graft.at('fit').innerText(), SOON).toContain('more than the');
  await graft.at('budget').press('Enter');
  await graft.at('proposal').waitFor();
  const lines = await graft.at('proposal').locator('li').allInnerTexts();
  expect(lines.length).toBeGreaterThan(0);
  // Room for a chat is the first to go; all else is a key of the run file.
  expect(lines.shift()).toMatch(/^Room to talk .*: no instead of yes\n+\S.*\.$/s);
  for (const line of lines) expect(line).toMatch(/instead of .* [a-z_]+\n+\S.*\.$/s);
  expect(await graft.at('talk').isChecked()).toBe(true);
  const promised = await mebibytes(graft, 'proposal-total');
  expect(promised).toBeLessThanOrEqual(budget);
  expect(await axeViolations(page)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);

  const before = await graft.at('run-file').inputValue();
  await graft.at('use-proposal').press('Enter');
  await expect.poll(() => graft.at('budget-verdict').innerText(), SOON).toContain('It fits');
  expect(await mebibytes(graft, 'plan-total')).toBe(promised);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('budget');
  expect(await graft.at('run-file').inputValue()).not.toBe(before);
  expect(await graft.at('talk').isChecked()).toBe(false);
  await page.getByRole('button', { name: 'Undo the changes' }).click();
  expect(await graft.at('run-file').inputValue()).toBe(before);
  expect(await graft.at('talk').isChecked()).toBe(true);

  await graft.at('budget').fill('0.005');
  await graft.at('make-it-fit').click();
  await graft.at('budget-error').waitFor();
  expect(await graft.at('budget-error').getAttribute('data-code')).toBe('out-of-memory');

  await page.reload();
  await graft.unfoldSteps(); // which a narrow screen folds
  await graft.at('fit').filter({ hasText: 'more than the 5.1 MiB' }).waitFor();
});
