/** How the page looks on a first visit, in each light and width: pictures for people, axe for everyone else. */
import { describe, expect } from 'vitest';
import { test } from '../support/browser';
import { axeViolations, GraftPage, screenshotWhole } from '../support/page';

const RESULTS = 'test/results';
const WIDTHS = { wide: 1360, narrow: 360 };

for (const colorScheme of ['light', 'dark'] as const) {
  for (const [name, width] of Object.entries(WIDTHS)) {
    describe(`${colorScheme}, ${width} px`, () => {
      test.override({ contextOptions: { colorScheme, viewport: { width, height: 900 }, reducedMotion: 'reduce' } });

      test('axe finds no violation and nothing is wider than the window', async ({ page, site }) => {
        await page.goto(site.url);
        await page.getByTestId('tokens').waitFor({ state: 'attached' });
        if (name === 'narrow') {
          await screenshotWhole(page, `${RESULTS}/page-${colorScheme}-folded.png`);
          expect(await axeViolations(page)).toEqual([]);
        }
        await new GraftPage(page).unfoldSteps();
        for (const summary of await page.locator('summary').all()) await summary.click();
        expect(await axeViolations(page)).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
        for (const summary of await page.locator('summary').all()) await summary.click();
        await page.evaluate(() => scrollTo(0, 0));
        await page.screenshot({ path: `${RESULTS}/page-${colorScheme}-${name}.png` });
        await screenshotWhole(page, `${RESULTS}/page-${colorScheme}-${name}-whole.png`);
      });
    });
  }
}
