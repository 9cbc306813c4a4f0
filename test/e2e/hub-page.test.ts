/** Models from a Hub, in the page: found, opened, fetched, kept. A stand-in on localhost answers as huggingface.co does. */
import { describe, expect } from 'vitest';
import { HUB_RUN, HubPage, SMALL_MODEL, test } from '../support/hub-page';
import { axeViolations } from '../support/page';
import { shardedModel } from '../support/sharded-model';

describe('a model on the Hub', () => {
  test('is found, and shows its fit before a byte of its weights is asked for', async ({ page, site, hub }) => {
    const graft = await HubPage.open(page, site);
    expect(hub.requests).toEqual([]); // nobody is asked before the visitor asks
    await graft.find('LLAMA');
    const row = graft.at('hub-row').filter({ hasText: SMALL_MODEL });
    await row.getByText('1,234 downloads').waitFor();
    await row.getByText('Trains in up to').waitFor();
    expect(await axeViolations(page)).toEqual([]);

    await row.getByRole('button').press('Enter');
    await graft.at('model-name').getByText(SMALL_MODEL, { exact: true }).waitFor();
    const planned = await graft.plannedTotal();
    expect(await graft.at('fit').innerText()).toContain(`Training needs ${planned}`);
    expect(await page.locator('#setting-load_in_4bit').isChecked()).toBe(true);
    await graft.kept('none');
    const asked = hub.weightRequests();
    expect(asked.length).toBeGreaterThan(0); // for the headers
    for (const { sent, path } of asked) expect(sent, path).toBeLessThan(8192);
  });

  test('trains in 4 bits as planned, is kept by that, and after a reload comes from here and goes on where it was stopped', async ({
    page,
    site,
    hub,
  }) => {
    const graft = await HubPage.open(page, site);
    await graft.openHub();
    await graft.useRunFile(HUB_RUN);
    const planned = await graft.plannedTotal();
    await graft.start();
    await graft.state('finished');
    const loss = await graft.at('loss').innerText();
    expect(await graft.plannedTotal()).toBe(planned);
    await graft.kept('all');

    hub.requests.length = 0;
    await page.reload();
    await graft.at('model-name').getByText(SMALL_MODEL, { exact: true }).waitFor();
    await graft.kept('all');
    await graft.start();
    await graft.state('finished');
    expect(await graft.at('loss').innerText()).toBe(loss);

    await graft.useRunFile(HUB_RUN.replace('max_steps: 2', 'max_steps: 24'));
    await graft.start();
    await graft.firstStep();
    await graft.at('cancel').click();
    await graft.state('cancelled');
    await page.reload();
    await graft.state('cancelled');
    await graft.at('resume').click();
    await graft.state('finished');
    expect(await graft.at('step').innerText()).toBe('24');
    expect(hub.requests).toEqual([]);
  });

  test('is listed with its size, can be pinned, and is deleted with its weights', async ({ page, site, hub }) => {
    const graft = await HubPage.open(page, site);
    await graft.openHub();
    await graft.plannedTotal();
    await graft.fetchWeights();
    await graft.openModels();
    const kept = graft.at('kept-weights');
    expect(await kept.innerText()).toMatch(/KiB in 4 bits/);
    await kept.getByRole('checkbox').check();
    await page.reload();
    await kept.waitFor();
    expect(await kept.getByRole('checkbox').isChecked()).toBe(true);
    expect(await axeViolations(page)).toEqual([]);
    await kept.getByRole('button', { name: /^Delete/ }).click();
    await graft.at('confirm').click();
    await kept.waitFor({ state: 'detached' });
    await graft.kept('none');
    hub.requests.length = 0;
    await graft.fetchWeights();
    expect(hub.weightRequests().length).toBeGreaterThan(0);
  });
});

describe('a download', () => {
  test('can be cancelled, and goes on where it stopped', async ({ page, site, hub }) => {
    const shards = 4;
    const large = await shardedModel({ hidden_size: 128, intermediate_size: 512, num_hidden_layers: 24 }, { shards });
    hub.add('graft/large-llama', large);
    hub.faults.push({ host: 'cdn', path: 'graft/large-llama', stallAt: 2_000_000 });
    const graft = await HubPage.open(page, site);
    await graft.openHub('graft/large-llama');
    await graft.plannedTotal();
    await graft.at('download').click();
    await graft
      .at('download-progress')
      .getByText(/^[1-9].* of /)
      .waitFor();
    await graft.at('download-cancel').click();
    await graft.at('download').getByText('Download the rest').waitFor();
    hub.faults.length = 0;
    hub.requests.length = 0;
    await graft.fetchWeights();
    const sizes = Object.entries(large).filter(([name]) => name.endsWith('.safetensors'));
    const whole = sizes.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
    const fetched = hub.weightRequests().reduce((sum, { sent }) => sum + sent, 0);
    expect(fetched).toBeLessThan(whole);
  });

  test('says why nothing comes, and goes on by itself', async ({ page, site, hub, problems }) => {
    hub.add('graft/slow-llama', await shardedModel({}, { seed: 13 }));
    const graft = await HubPage.open(page, site);
    await graft.openHub('graft/slow-llama');
    await graft.plannedTotal();
    hub.faults.push({ host: 'cdn', path: 'slow-llama', times: 1, status: 503, headers: { 'retry-after': '6' } });
    await graft.at('download').click();
    await graft
      .at('download-pause')
      .getByText(/503.*Trying again in \d s\./)
      .waitFor();
    await graft.kept('all');
    expect(problems.splice(0).every((text) => text.includes('status of 503'))).toBe(true);
  });
});

test('where the browser has no room, training goes on from memory and the page says what was not kept', async ({
  page,
  site,
  hub,
}) => {
  hub.add('graft/roomy-llama', await shardedModel({ hidden_size: 512, intermediate_size: 1024 }, { seed: 14 }));
  const session = await page.context().newCDPSession(page);
  const { origin } = new URL(site.url);
  // Before the first write: the browser remembers for half a minute how much room it found.
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 3_000_000 });
  const graft = await HubPage.open(page, site);
  await graft.openHub('graft/roomy-llama');
  await graft.useRunFile(HUB_RUN);
  await graft.plannedTotal();
  await graft.at('download').click();
  await graft.at('not-kept').getByText('from memory').waitFor();
  expect(await graft.at('weights').getAttribute('data-kept')).not.toBe('all');
  await graft.start();
  await graft.state('finished');
  expect(await graft.at('train-notice').allInnerTexts()).toContainEqual(expect.stringContaining('from memory'));
  await session.send('Storage.overrideQuotaForOrigin', { origin });
});

describe('a model that asks for consent', () => {
  const GATED = 'graft/gated-llama';

  test('opens with a token that goes to the Hub alone, and is forgotten by a reload', async ({
    page,
    site,
    hub,
    problems,
  }) => {
    hub.add(GATED, await shardedModel({}, { seed: 12 }), { gated: 'manual' });
    hub.allow('hf_right', GATED);
    hub.allow('hf_other');
    const graft = await HubPage.open(page, site);
    await graft.find(GATED);
    const error = graft.at('model-error');
    await error.getByText('accept its terms').waitFor();
    expect(await error.getAttribute('data-code')).toBe('no-access');
    expect(await error.getByRole('link').first().getAttribute('href')).toMatch(new RegExp(`^http.*/${GATED}$`));
    expect(await axeViolations(page)).toEqual([]);

    const token = error.getByTestId('hub-token');
    await token.fill('hf_pasted twice');
    await token.press('Enter');
    await error.getByTestId('token-error').getByText('The token is not used').waitFor();
    expect(await axeViolations(page)).toEqual([]);
    await token.fill('hf_wrong');
    await token.press('Enter');
    await error.getByText("doesn't accept the token").waitFor();
    await token.fill('hf_other');
    await token.press('Enter');
    await error.getByText('The token may not read').waitFor();
    await token.fill('hf_right');
    await token.press('Enter');
    await graft.at('model-name').getByText(GATED, { exact: true }).waitFor();
    await graft.plannedTotal();
    await graft.fetchWeights();

    const withToken = hub.requests.filter(({ authorization }) => authorization !== undefined);
    expect(withToken.length).toBeGreaterThan(0);
    expect(withToken.filter(({ host }) => host === 'cdn')).toEqual([]);
    expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain('hf_');
    expect(problems.splice(0).every((text) => /status of 40[13]/.test(text))).toBe(true);
    await page.reload();
    await graft.kept('all'); // what is here needs no token
  });

  test('keeps a token where the visitor asks for that', async ({ page, site, hub }) => {
    hub.add(GATED, await shardedModel({}, { seed: 12 }), { gated: 'manual' });
    hub.allow('hf_right', GATED);
    const graft = await HubPage.open(page, site);
    await graft.openSettings();
    await graft.at('hub-token').fill('hf_right');
    await graft.at('hub-access').getByRole('checkbox').check();
    await graft.at('hub-token').press('Enter');
    await graft.at('hub-access').getByText('A token is kept').waitFor();
    await page.reload();
    await graft.openHub(GATED);
    await graft.openSettings();
    await page.getByRole('button', { name: 'Forget it' }).click();
    expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain('hf_');
  });
});

test('another Hub is asked only where the policy of the page allows it', async ({ page, site, hub, problems }) => {
  const graft = await HubPage.open(page, site);
  await graft.openModels();
  expect(await graft.at('hub').innerText()).toContain(new URL(hub.url).host);
  await graft.openSettings();
  await graft.at('hub-endpoint').fill('https://hub.example');
  await graft.at('hub-endpoint').press('Enter');
  await graft.at('hub-settings-error').getByText('GRAFT_CONNECT_HOSTS=https://hub.example').waitFor();
  await graft.at('hub-endpoint').fill('https://huggingface.co');
  await graft.at('hub-endpoint').press('Enter');
  await graft.at('hub-settings-error').waitFor({ state: 'detached' });
  await graft.openModels();
  await graft.at('hub').getByText('huggingface.co').first().waitFor();
  problems.length = 0; // the browser logs what was refused, and that huggingface.co can't be reached from a test
});
