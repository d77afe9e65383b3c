/**
 * Takes the pictures of the page in docs/pictures with Debian's Chromium, from an invented fleet:
 *
 *   node test/helpers/page-pictures.ts DIRECTORY
 */
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { renderPage } from '../../src/report/page/page.ts';
import { exampleFleet } from './example-fleet.ts';

const [directory = '.'] = process.argv.slice(2);
const page = renderPage(exampleFleet(Date.now() - 120_000));
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
try {
  const pictures = [
    { name: 'page-light', colorScheme: 'light', width: 1100, height: 2000 },
    { name: 'page-dark', colorScheme: 'dark', width: 1100, height: 2000 },
    { name: 'page-phone', colorScheme: 'light', width: 390, height: 2400 },
  ] as const;
  for (const { name, colorScheme, width, height } of pictures) {
    const tab = await browser.newPage({ viewport: { width, height }, colorScheme, locale: 'en-GB', timezoneId: 'UTC' });
    await tab.setContent(page);
    await tab.screenshot({ path: join(directory, `${name}.png`) });
    await tab.close();
  }
} finally {
  await browser.close();
}
