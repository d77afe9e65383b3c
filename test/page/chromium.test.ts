import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderPage } from '../../src/report/page/page.ts';
import { exampleFleet, exampleNow, hostileFleet, hostileTexts } from '../helpers/example-fleet.ts';

// The page in Debian's Chromium: what it looks like to a reader, and that hostile names are only text there.
let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
});
afterAll(async () => {
  await browser?.close();
});

/** The page over HTTP, as a web server would give it out, with all that the browser complained of or asked for. */
async function opened(html: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Berlin', ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  await page.route('**/*', async (route) => {
    const url = route.request().url();
    if (url === 'http://backups.example.net/') {
      await route.fulfill({ contentType: 'text/html; charset=utf-8', body: html });
      return;
    }
    asked.push(url);
    await route.abort();
  });
  await page.clock.setFixedTime(exampleNow + 300_000);
  await page.goto('http://backups.example.net/');
  return { page, complaints, asked, close: () => context.close() };
}

const desk = { viewport: { width: 1200, height: 900 } };
const phone = { viewport: { width: 390, height: 844 } };

const inBrowser = (await readFile(join(import.meta.dirname, 'in-browser.js'), 'utf8')).replace(/;\n$/, '');

function ask<Answer>(page: Page, question: 'tooWide' | 'lowestContrast' | 'openAll'): Promise<Answer> {
  return page.evaluate<Answer>(`(${inBrowser}).${question}()`);
}

describe('the page in a browser', () => {
  it('asks for nothing, breaks no policy, and tells times in the zone of the reader', async () => {
    const { page, complaints, asked, close } = await opened(renderPage(exampleFleet()), desk);
    // A browser asks for an icon by itself.
    expect(asked.filter((url) => !url.endsWith('/favicon.ico'))).toEqual([]);
    expect(complaints.filter((text) => !text.includes('favicon'))).toEqual([]);
    expect(await page.title()).toBe('vault: needs a look now');
    expect(await page.textContent('.asof time')).toBe('20 Nov 2026, 10:42');
    expect(await page.textContent('#age')).toBe('(5 min ago)');
    await close();
  });

  it.each([
    ['light', desk],
    ['dark', desk],
    ['light', phone],
    ['dark', phone],
  ] as const)('is readable: %s, %o', async (colorScheme, size) => {
    const { page, close } = await opened(renderPage(exampleFleet()), { ...size, colorScheme });
    expect(await ask<string[]>(page, 'tooWide')).toEqual([]);
    const { ratio, where } = await ask<{ ratio: number; where: string }>(page, 'lowestContrast');
    expect(ratio, where).toBeGreaterThanOrEqual(4.5);
    await ask(page, 'openAll');
    expect(await ask<string[]>(page, 'tooWide')).toEqual([]);
    await close();
  });

  it('sorts and filters the clients', async () => {
    const { page, close } = await opened(renderPage(exampleFleet()), desk);
    const names = () => page.locator('.fleet tbody tr:visible th').allTextContents();
    await page.getByRole('button', { name: 'Size' }).click();
    expect((await names())[0]).toBe('old-shop');
    await page.getByRole('button', { name: 'Size' }).click();
    expect((await names())[0]).toBe('files.example.net');
    expect(await page.locator('th[aria-sort=descending]').textContent()).toBe('Size');
    await page.getByRole('searchbox').fill('laptop');
    expect((await names()).toSorted()).toEqual(['laptop-anna', 'laptop-jon']);
    expect(await page.locator('article:visible').count()).toBe(2);
    await close();
  });

  it('works without scripts', async () => {
    const { page, close } = await opened(renderPage(exampleFleet()), { ...desk, javaScriptEnabled: false });
    expect(await page.locator('.fleet tbody tr').count()).toBe(10);
    expect(await page.textContent('.asof time')).toBe('2026-11-20 09:42 UTC');
    await page.locator('summary').first().click();
    expect(await page.locator('details[open] tbody tr').count()).toBeGreaterThan(3);
    await close();
  });
});

describe('hostile names', () => {
  it.each([desk, phone])('are only text: %o', async (size) => {
    const { page, complaints, asked, close } = await opened(renderPage(hostileFleet()), size);
    await ask(page, 'openAll');
    await page.locator('.fleet tbody tr').first().hover();
    expect(await page.title()).toBe(`${hostileTexts[4]}: needs a look now`);
    expect(await page.locator('script').count()).toBe(1);
    expect(await page.locator('img, iframe, form, object, link, base').count()).toBe(0);
    expect(asked.filter((url) => !url.endsWith('/favicon.ico'))).toEqual([]);
    expect(complaints.filter((text) => !text.includes('favicon'))).toEqual([]);
    // All of it is there to be read, as it was given.
    const words = await page.textContent('main');
    for (const text of hostileTexts) {
      const shown = text
        .replace('\u202e', '\\xe2\\x80\\xae')
        .replace('\u009b', '\\xc2\\x9b')
        .replace('\u0000', '\\x00');
      expect(words).toContain(shown);
    }
    expect(await ask<string[]>(page, 'tooWide')).toEqual([]);
    await close();
  });

  it('would not run even if they became elements: the policy stops them', async () => {
    const broken = renderPage(exampleFleet()).replace(
      '<main>',
      '<main><script>document.title="owned"</script><b id="x" onclick="document.title=\'owned\'">x</b><img src="http://evil.example/x.png">',
    );
    const { page, complaints, asked, close } = await opened(broken, desk);
    await page.locator('#x').click();
    expect(await page.title()).toBe('vault: needs a look now');
    expect(asked).not.toContain('http://evil.example/x.png');
    expect(complaints.filter((text) => text.includes('Content Security Policy'))).not.toEqual([]);
    await close();
  });
});
