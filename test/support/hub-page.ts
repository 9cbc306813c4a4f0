/** The page beside a stand-in Hub that its policy allows: `hub` is new for each file, and the site is served for it. */
import type { Page } from 'playwright-core';
import { test as base } from './browser';
import { GraftPage, type Site } from './page';
import { serveSite } from './site.mjs';
import { shardedModel } from './sharded-model';
import { StandInHub } from './stand-in-hub';

export const SMALL_MODEL = 'graft/small-llama';

/** A run of few steps that keeps the model in 4 bits. */
export const HUB_RUN = `load_in_4bit: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 1
max_train_samples: 8
max_length: 64
max_steps: 2
lora_r: 4
`;

export const test = base.extend<{ hub: StandInHub; site: Site }>({
  hub: [
    // eslint-disable-next-line no-empty-pattern -- vitest reads a fixture's dependencies from this pattern
    async ({}, use) => {
      const hub = await StandInHub.start();
      hub.add(SMALL_MODEL, await shardedModel(), { downloads: 1234, parameters: 279_104 });
      await use(hub);
      await hub.close();
    },
    { scope: 'file' },
  ],
  site: [
    async ({ hub }, use) => {
      const site = await serveSite({ HF_ENDPOINT: hub.url, GRAFT_HUB_HOSTS: hub.cdnUrl });
      await use(site);
      await site.close();
    },
    { scope: 'file' },
  ],
});

/** The page with its models, as a visitor who looks for a model drives it. */
export class HubPage extends GraftPage {
  static override async open(page: Page, site: Site): Promise<HubPage> {
    await GraftPage.open(page, site);
    return new HubPage(page);
  }

  /** Types into the search field and presses Enter. */
  async find(query: string): Promise<void> {
    await this.openModels();
    await this.at('hub-query').fill(query);
    await this.at('hub-query').press('Enter');
  }

  /** Opens a model by its whole name, and waits for its facts. */
  async openHub(name = SMALL_MODEL): Promise<void> {
    await this.find(name);
    await this.at('model-name').getByText(name, { exact: true }).waitFor();
  }

  /** What training needs, once it is planned for what is chosen now. */
  async plannedTotal(): Promise<string> {
    await this.openWorkbench();
    await this.page.waitForTimeout(200); // the page asks for a plan when the settings have settled
    await this.page.locator('[data-testid=fit][aria-busy=false]').waitFor();
    return this.at('plan-total').innerText();
  }

  /** Presses the button that fetches weights, and waits until all of them are kept. */
  async fetchWeights(): Promise<void> {
    if (!(await this.at('weights').isVisible())) await this.openWorkbench();
    await this.at('download').click();
    await this.kept('all');
  }

  /** Waits until so much of the open model's weights is kept. */
  async kept(much: 'none' | 'part' | 'all'): Promise<void> {
    if (!(await this.at('weights').isVisible())) await this.openWorkbench();
    await this.page.locator(`[data-testid=weights][data-kept=${much}]`).waitFor();
  }
}
