/** A chat with a run while it trains, on the page. */
import { expect } from 'vitest';
import { test } from '../support/browser';
import { axeViolations, GraftPage } from '../support/page';

const ADAPTER = 'adapter_model.safetensors';
const RUN = `learning_rate: 3.0e-3
max_steps: 24
max_train_samples: 4
per_device_train_batch_size: 1
gradient_accumulation_steps: 1
max_length: 48
lora_r: 4
lora_dropout: 0.1
save_steps: 10
`;

test('a run answers while it trains, its figures go on, and it ends in the bytes of a run nobody talked to', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  const mebibytes = async (id: string) => Number.parseFloat(await graft.at(id).innerText());
  /** The step that stands in the dock. */
  const step = async () => Number(/\d+/.exec(await graft.at('dock-status').innerText())?.[0]);
  const voices = ['base', 'tuned'] as const;
  const answer = (voice: string, state: string) =>
    page.locator(`[data-testid=${voice}-answer][data-state=${state}]`).last();

  await graft.at('talk').uncheck();
  await graft.useRunFile(RUN);
  await graft.start();
  await graft.firstStep();
  await graft.openPart('Chat');
  await graft.at('nothing-yet').getByText('without room for a chat').waitFor();
  await graft.state('finished');
  const silent = await graft.download(ADAPTER);

  await graft.openWorkbench();
  const alone = await mebibytes('plan-total');
  await graft.at('talk').check();
  // The plan has what a chat takes before the run begins.
  await expect.poll(() => mebibytes('plan-total')).toBeGreaterThan(alone);
  const grown = (await mebibytes('plan-total')) - alone;
  expect(Math.abs((await mebibytes('talk-bytes')) - grown)).toBeLessThan(0.2); // both are rounded
  await graft.start();
  await graft.openPart('Chat');
  await graft
    .at('chat-partner')
    .getByText(/the run in training, at step [1-9]/)
    .waitFor({ timeout: 240_000 });
  await page.getByText('How it answers').click();
  await graft.at('temperature').fill('0');
  await graft.at('max-new-tokens').fill('5');
  await graft.at('chat-input').fill('What does it mean to waive a title fee?');
  await graft.at('send').click();
  for (const voice of voices) await answer(voice, 'done').waitFor({ timeout: 120_000 });
  expect(await page.getByText(/^Tuned, step \d+$/).count()).toBe(1);
  await graft.state('running');

  // A long answer is stopped, and the run goes on.
  await graft.at('temperature').fill('2');
  await graft.at('max-new-tokens').fill('400');
  await graft.at('chat-input').fill('Tell me everything.');
  await graft.at('send').click();
  await answer('base', 'writing').waitFor({ timeout: 60_000 });
  const stoppedAt = await step();
  await graft.at('chat-stop').click();
  await answer('base', 'stopped').waitFor({ timeout: 60_000 });
  await expect.poll(step, { timeout: 120_000 }).toBeGreaterThan(stoppedAt);
  expect(await axeViolations(page)).toEqual([]);
  await graft.state('finished');
  expect((await graft.download(ADAPTER)).equals(silent)).toBe(true);

  // The conversation goes on with what has become of it.
  await graft.openPart('Chat');
  await page.getByText('How it answers').click();
  await graft.at('max-new-tokens').fill('4');
  await graft.at('chat-input').fill('And now?');
  await graft.at('send').click();
  await answer('tuned', 'done').waitFor({ timeout: 120_000 });
});
