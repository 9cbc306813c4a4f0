/** A prompt that is trained on the page: asked beside the base, compared, downloaded, and not merged. */
import { expect } from 'vitest';
import { test } from '../support/browser';
import { GraftPage } from '../support/page';

test('a prompt is trained, talked to, compared, and said to be no part of the model', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  const questions = ['What is first?', 'What is second?', 'What is third?', 'What is fourth?'];
  const rows = questions.map((question, i) => JSON.stringify({ question, answer: `It is ${i + 1}.` }));
  await graft.useData('places.jsonl', rows.join('\n'));
  await graft.useRunFile(
    'max_steps: 2\nper_device_train_batch_size: 2\npeft_type: PROMPT_TUNING\nnum_virtual_tokens: 4\n' +
      'prompt_tuning_init: TEXT\nprompt_tuning_init_text: Say which place it is.\n',
  );
  await graft.start();
  await graft.state('finished');

  await graft.openPart('Chat');
  await page.getByText('How it answers').click();
  await graft.at('max-new-tokens').fill('3');
  // The prompt's tokens take their places of the 512 that the model reads.
  await graft.at('context-room').getByText('of 508 tokens').waitFor();
  for (const question of ['What is first?', 'And then?']) {
    await graft.at('chat-input').fill(question);
    await graft.at('send').click();
    await page.locator('[data-testid=tuned-answer][data-state=done]').last().waitFor({ timeout: 60_000 });
  }
  await graft.openPart('Evaluate');
  await graft.at('compare-start').click();
  await page.locator('[data-testid=compare-summary][data-complete=true]').waitFor({ timeout: 120_000 });

  await graft.openPart('Files');
  await graft.at('not-merged').waitFor();
  expect(await graft.at('download-merged').count()).toBe(0);
  expect((await graft.at('export-file').allInnerTexts()).join(' ')).toContain('adapter_model.safetensors');
});
