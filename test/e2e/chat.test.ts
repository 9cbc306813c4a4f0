/** Talking to a model: streaming, several turns, limits and stopping. */
import { expect } from 'vitest';
import { test } from '../support/browser';
import { GraftPage } from '../support/page';

test('the base model answers before anything is trained, remembers, and can be cleared', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await page.getByText('How it answers').click();
  await graft.at('temperature').fill('0');
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
  await ask('And then?');
  expect(await graft.at('base-answer').count()).toBe(2);
  expect(await graft.at('tuned-answer').count()).toBe(0);

  await graft.at('chat-clear').click();
  expect(await graft.at('base-answer').count()).toBe(0);
  // Greedy, and nothing is remembered: the same question gets the same answer.
  expect(await ask('Tell me a story about a tree.')).toBe(first);

  await page.reload();
  await page.getByText('How it answers').click();
  expect(await graft.at('max-new-tokens').inputValue()).toBe('6');
});

test('an answer can be stopped', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
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
});
