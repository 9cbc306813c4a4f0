/** How the page looks on a first visit, in each light and width: pictures for people, axe for everyone else. */
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { describe, expect } from 'vitest';
import { test } from '../support/browser';

const RESULTS = 'test/results';
const WIDTHS = { wide: 1360, narrow: 360 };
const AXE = readFileSync('node_modules/axe-core/axe.min.js', 'utf8');

for (const colorScheme of ['light', 'dark'] as const) {
  for (const [name, width] of Object.entries(WIDTHS)) {
    describe(`${colorScheme}, ${width} px`, () => {
      test.override({ contextOptions: { colorScheme, viewport: { width, height: 900 }, reducedMotion: 'reduce' } });

      test('axe finds no violation and nothing is wider than the window', async ({ page, site }) => {
        await page.goto(site.url);
        await page.getByTestId('tokens').waitFor();
        for (const summary of await page.locator('summary').all()) await summary.click();
        await mkdir(RESULTS, { recursive: true });
        expect(await violations(page)).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
        for (const summary of await page.locator('summary').all()) await summary.click();
        await page.evaluate(() => scrollTo(0, 0));
        await page.screenshot({ path: `${RESULTS}/page-${colorScheme}-${name}.png` });
        await wholePage(page, width, `${RESULTS}/page-${colorScheme}-${name}-whole.png`);
      });
    });
  }
}

/** One picture of everything: in a window as tall as the page, so that what sticks to its edges is there once. */
async function wholePage(page: Page, width: number, path: string): Promise<void> {
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width, height });
  await page.screenshot({ path });
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const results = await page.evaluate(() => (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run());
  return results.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
}
