/** Data of the visitor's own: what the page says of them before training, while they are read, and afterwards. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { test } from '../support/browser';
import { axeViolations, GraftPage } from '../support/page';
import { writeTinyModel } from '../support/tiny-model';

const lines = (...rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join('\n');

test('what is left out is listed beside the report, once', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  const rows = Array.from({ length: 130 }, (_, i) => ({
    instruction: `What is rule ${i}?`,
    output: i % 12 === 3 ? '' : 'Wait.',
    source: 'wiki',
  }));
  await graft.useData(
    'rules.jsonl',
    lines(...rows, { messages: [{ role: 'user', content: 'Hi' }] }, { text: 'Once.' }),
  );
  await graft.at('left-out').waitFor();
  expect(await graft.at('data-facts').innerText()).toMatch(/Examples\s+120\s+Format\s+alpaca and text/);
  const notices = await graft.at('data-notices').innerText();
  expect(notices).toContain('source');
  expect(notices.match(/left out/g)).toHaveLength(2);
  expect(notices).not.toContain('empty output');

  await graft.at('left-out').locator('summary').focus();
  await page.keyboard.press('Enter');
  const listed = graft.at('left-out').locator('li');
  expect(await listed.count()).toBe(10);
  expect(await listed.nth(1).innerText()).toBe('Row 16 has an empty output.');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  expect(await listed.count()).toBe(12);
  await listed
    .last()
    .filter({ hasText: /^Row 131 / })
    .waitFor();

  for (const width of [1360, 360]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await axeViolations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  }
});

test('a file that is no data to train on is refused by what it is; JSON is taken under any name', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  const use = async (name: string, buffer: Buffer) => {
    await graft.at('dataset-file').setInputFiles({ name, mimeType: '', buffer });
    await graft.at('dataset-name').getByText(name, { exact: true }).waitFor();
  };
  const refused = (message: RegExp) => graft.at('data-error').filter({ hasText: message }).waitFor();
  const taken = async (format: string) => {
    await graft.at('data-facts').getByText(format, { exact: true }).waitFor();
    expect(await graft.at('data-error').count()).toBe(0);
  };

  await use('pairs.jsonl', Buffer.from(lines({ prompt: 'Say ja.', chosen: 'ja', rejected: 'nein' })));
  await refused(/pairs\.jsonl: .*chosen/);
  await use('rows.json', Buffer.from('PAR1\x15\x04\x15\x10PAR1', 'latin1'));
  await refused(/rows\.json is a Parquet file.*JSONL/);
  await use('rows.jsonl.gz', gzipSync(lines({ prompt: 'Say ja.', completion: 'ja' })));
  await taken('prompt-completion');
  await use('rows.txt', Buffer.from('[{"text": "Once upon a time."}]'));
  await taken('text');

  await graft.at('paste-text').click();
  await graft.at('dataset-text').fill('{\n  "question": "Why?",\n  "answer": "So."\n}\n');
  await page.getByRole('button', { name: 'Use this text' }).click();
  await taken('question-answer');
});

test('reading a large file shows how far it is, stops when asked, and goes on from the keyboard', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  const words = 'the tree grows in winter and the branch waits for water '.repeat(6);
  const rows = Array.from({ length: 40_000 }, (_, i) => ({ instruction: `${i}: ${words}?`, output: `${words}${i}` }));
  await graft.at('start-cost').getByText('336 steps').waitFor();
  await graft.useData('large.jsonl', lines(...rows));
  // From the first moment, nothing that was found out about the data before is shown as theirs.
  expect(await graft.at('data-facts').innerText()).not.toContain('111');
  expect(await graft.at('start-cost').innerText()).not.toContain('steps');
  await graft
    .at('reading')
    .getByText(/of 40,000 rows read/)
    .waitFor();
  // The page is free while the worker reads, and shows the first rows of these data; nothing of the data before.
  await graft.at('data-facts').getByText('about 40,000', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Next example' }).click();
  await graft
    .at('tokens')
    .filter({ hasText: /1:·the·tree/ })
    .waitFor();
  await graft.at('reading-cancel').focus();
  await page.keyboard.press('Enter');
  await graft.at('reading-stopped').waitFor();
  expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe('Read the data');

  // A small file does not wait for the large one, and its report is its own.
  await graft.useData('small.jsonl', lines({ text: 'Once.' }));
  await graft.at('data-facts').getByText('text', { exact: true }).waitFor();
  await graft.useData('half.jsonl', lines(...rows.slice(0, 8000)));
  await graft.at('data-facts').getByText('8,000', { exact: true }).waitFor();
  expect(await graft.at('reading').count()).toBe(0);
  await graft.at('tokens').waitFor();

  // Settings that read them in the same way read nothing again: no row is counted, and the facts stay.
  await graft.at('start-cost').getByText('steps').waitFor();
  const cost = await graft.at('start-cost').innerText();
  await page.evaluate(() => {
    const seen = ((window as unknown as { seen: string[] }).seen = [] as string[]);
    new MutationObserver(() => {
      const progress = document.querySelector('[data-testid=reading]')?.textContent ?? '';
      if (progress.includes('rows read')) seen.push(progress); // a slow worker may be waited for; it counts no row
      if (document.querySelector('[data-testid=data-facts][data-whole=false]')) seen.push('first rows alone');
      if (document.querySelector('[data-testid=data-facts].away')) seen.push('no facts');
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  await graft.setting('learning_rate', '0.001');
  await graft.setting('num_train_epochs', '1');
  await expect.poll(() => graft.at('start-cost').innerText()).not.toBe(cost);
  await page.locator('[data-testid=start-cost][aria-busy=false]').waitFor();
  expect(await page.evaluate(() => (window as unknown as { seen: string[] }).seen)).toEqual([]);
  expect(await graft.at('start').isEnabled()).toBe(true);
});

test('rows whose answers all lie beyond the limit of a preset are read with one that holds them, up to what the model reads', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'tiny');
  await writeTinyModel(folder);
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: 1024 }));
  await graft.useFolder(folder);
  await graft.at('model-name').getByText('tiny', { exact: true }).waitFor();
  const rowOf = (tokens: number) => {
    const input_ids = Array.from({ length: tokens }, (_, i) => i % 40);
    return { input_ids, labels: input_ids.map((id, i) => (i < tokens - 5 ? -100 : id)) };
  };
  await graft.useData('long.jsonl', lines(...Array.from({ length: 6 }, () => rowOf(700))));
  await graft.at('data-facts').getByText('700 tokens', { exact: true }).waitFor();
  expect(await page.locator('#setting-max_length').inputValue()).toBe('1024');
  await graft.at('start').and(page.locator(':enabled')).waitFor();

  await graft.useData('longer.jsonl', lines(rowOf(1100)));
  await graft
    .at('data-error')
    .filter({ hasText: /beyond max_length 1024\. The model reads no more: shorten the rows/ })
    .waitFor();
});

test('a run of its own template is trained, asked, compared and merged through it, on every row that it reads', async ({
  page,
  site,
}) => {
  const template =
    "{% if mode != 'plain' %}{{ raise_exception('mode is missing') }}{% endif %}{% for m in messages %}" +
    "{% if 'forbidden' in m.content %}{{ raise_exception('The template of the run says no.') }}{% endif %}" +
    "{{ '<|' + m.role + '|>' + m.content }}{% if m.role == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
  const graft = await GraftPage.open(page, site);
  const data = lines(
    { text: 'Once upon a time.' },
    { instruction: 'Say ja.', input: '', output: 'ja' },
    { input_ids: [1, 5, 6, 7], labels: [-100, 5, 6, 7] },
    { question: 'A forbidden one?', answer: 'no' },
    { prompt: 'Say nothing.', completion: '' },
    { messages: [...'ab'].flatMap((q) => [{ role: 'user', content: q }, { role: 'assistant', content: `${q}!` }]) }, // prettier-ignore
    { question: 'Never trained?', answer: 'right' },
  );
  await graft.useData('mixed.jsonl', data);
  await graft
    .at('data-error')
    .filter({ hasText: /max_bad_rows/ })
    .waitFor();
  await graft.useRunFile(
    `max_steps: 1\nper_device_train_batch_size: 4\nmax_bad_rows: 0.5\nmax_train_samples: 5\nchat_template: ${JSON.stringify(template)}\nchat_template_kwargs:\n  mode: plain\n`,
  );
  await graft.at('left-out').filter({ hasText: '2 of 7 rows are left out' }).waitFor();
  await graft.start();
  await graft.state('finished');

  await graft.openPart('Chat');
  await page.getByText('How it answers').click();
  await graft.at('max-new-tokens').fill('2');
  const ask = async (question: string) => {
    await graft.at('chat-input').fill(question);
    await graft.at('send').click();
  };
  await ask('Say ja.');
  await page.locator('[data-testid=tuned-answer][data-state=done]').waitFor({ timeout: 60_000 });
  await ask('A forbidden question');
  await page.locator('#chat').getByText('The template of the run says no.').first().waitFor();

  await graft.openPart('Evaluate');
  await graft.at('compare-start').click();
  await page.locator('[data-testid=compare-summary][data-complete=true]').waitFor({ timeout: 120_000 });
  expect(await graft.at('compare-row').allInnerTexts()).toEqual([
    expect.stringContaining('Say ja.'),
    expect.stringContaining('b!'),
  ]);

  await graft.openPart('Files');
  const merged = page.waitForEvent('download');
  await graft.at('download-merged').click();
  const zip = readFileSync(await (await merged).path());
  expect(zip.includes('The template of the run says no.')).toBe(true);
  expect(zip.includes('| Result | passed |')).toBe(true);
  expect(await graft.at('merge-checked').innerText()).toMatch(
    /% off, where .* are allowed, and 2 of 2 answers are the same\./,
  );

  // The same as one file for llama.cpp, which is read back and asked before it is offered.
  await graft.at('gguf-type').selectOption('F16');
  const single = page.waitForEvent('download');
  await graft.at('download-gguf').click();
  const gguf = readFileSync(await (await single).path());
  expect(gguf.subarray(0, 4).toString()).toBe('GGUF');
  expect(gguf.includes('The template of the run says no.')).toBe(true);
  expect(await graft.at('gguf-checked').innerText()).toMatch(
    /was read back and is the model: its logits are 0\.\d+ % off, where 10 % are allowed, and 2 of 2 answers are the same\.$/,
  );
  const saved = async (button: string) => {
    const download = page.waitForEvent('download');
    await graft.at(button).click();
    const file = await download;
    return [file.suggestedFilename(), readFileSync(await file.path(), 'utf8')] as const;
  };
  const [cardName, card] = await saved('gguf-card');
  expect(cardName).toMatch(/-F16\.md$/);
  expect(card).toMatch(/\| Prompts \| 2, questions of the run's data \|[^]*\| Result \| passed \|/);
  const [modelfileName, modelfile] = await saved('gguf-modelfile');
  expect(modelfileName).toBe('Modelfile');
  expect(modelfile).toContain(`FROM ./${cardName.replace('.md', '.gguf')}\n`);
  expect(modelfile).toMatch(/^TEMPLATE """.*\{\{ \.Content \}\}/m);
  expect(await axeViolations(page)).toEqual([]);
});

test('a run that trained the whole model is downloaded as a GGUF file, and has nothing to merge', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useRunFile('use_peft: false\nmax_steps: 1\nmax_train_samples: 4\nlearning_rate: 1.0e-4\n');
  await graft.start();
  await graft.state('finished');
  await graft.openPart('Files');
  await graft.at('gguf-type').selectOption('F16');
  const single = page.waitForEvent('download');
  await graft.at('download-gguf').click();
  const gguf = readFileSync(await (await single).path());
  expect(gguf.subarray(0, 4).toString()).toBe('GGUF');
  expect(await graft.at('gguf-checked').innerText()).toContain('was read back and is the model');
  expect(await graft.at('download-merged').count()).toBe(0);
});
