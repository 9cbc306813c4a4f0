/** Models of the visitor's own computer: a GGUF file, and a folder through the browser's own picker. */
import { expect } from 'vitest';
import { test } from '../support/browser';
import { GraftPage } from '../support/page';
import { hasReference, reference } from '../support/reference';
import { tinyRows } from '../support/tiny-model';
import { tinyModel } from '../unit/recipes/support';

const RUN = 'per_device_train_batch_size: 2\ngradient_accumulation_steps: 1\nmax_length: 32\nmax_steps: 2\nlora_r: 4\n';

test.skipIf(!hasReference)(
  'a GGUF file trains as a folder does, and its copy is there after a reload',
  async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await graft.openModels();
    await graft.at('model-files').setInputFiles(reference('models/stories260K/model-f32.gguf'));
    await graft.at('model-name').getByText('model-f32', { exact: true }).waitFor();
    await graft.useData('pairs.jsonl', '{"question": "Who are you?", "answer": "A cat."}\n'.repeat(4));
    await graft.useRunFile(RUN.replace('32', '256'));
    await graft.start();
    await graft.state('finished');

    await page.reload();
    await graft.openModels();
    await graft.at('model-name').getByText('model-f32', { exact: true }).waitFor();
    expect(await graft.at('kept-models').innerText()).toContain('model-f32');
  },
);

test('a folder is opened with the picker of the browser where it has one', async ({ page, site }) => {
  const source = await tinyModel();
  const files = await Promise.all(
    (await source.list()).map(async (name) => ({ name, bytes: [...(await source.read(name))] })),
  );
  // The picker's answer is a folder of the page's own file system: a real handle, without a window that asks.
  await page.addInitScript(() => {
    Object.assign(globalThis, {
      showDirectoryPicker: async () => (await navigator.storage.getDirectory()).getDirectoryHandle('tiny'),
    });
  });
  const graft = await GraftPage.open(page, site);
  await page.evaluate(async (all) => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('tiny', { create: true });
    await folder.getDirectoryHandle('original', { create: true });
    for (const { name, bytes } of all) {
      const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
      await writable.write(new Uint8Array(bytes));
      await writable.close();
    }
  }, files);
  await graft.openModels();
  await page.getByText('Open a folder…').click();
  await graft.at('model-name').getByText('tiny', { exact: true }).waitFor();
  await graft.useData('rows.jsonl', tinyRows(4));
  await graft.useRunFile(RUN);
  await graft.start();
  await graft.state('finished');
});
