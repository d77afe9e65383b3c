import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { exampleFleet, hostileFleet } from '../../../test/helpers/example-fleet.ts';
import { escapeText, html } from './html.ts';
import { renderPage } from './page.ts';
import { anchorOf } from './sections.ts';
import { placeOf } from './timeline.ts';

const page = renderPage(exampleFleet());

describe('text in HTML', () => {
  test('is only text, in elements and in attributes', () => {
    expect(html`<p title="${'"><script>'}">${"<b>&'`</b>"}</p>`.text).toBe(
      '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;&#39;&#96;&lt;/b&gt;</p>',
    );
  });

  test('shows what would hide or turn it around', () => {
    expect(escapeText('a\u202eb\u0000c\u009bd\ue000')).toBe('a\\xe2\\x80\\xaeb\\x00c\\xc2\\x9bd\\xee\\x80\\x80');
  });

  test('HTML that is whole stays so, nothing else does', () => {
    expect(html`${html`<b>${1}</b>`}${[html`<i>`, html`</i>`]}${null}`.text).toBe('<b>1</b><i></i>');
  });

  test('an anchor is made of letters, digits and hyphens', () => {
    expect(anchorOf('web1.example.net')).toBe('client-web1_2e_example_2e_net');
    expect(anchorOf('"><x y')).toMatch(/^client-[a-z0-9_-]+$/);
  });
});

describe('the policy', () => {
  test('allows nothing but the style and the script that are in the page', () => {
    const policy =
      /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(page)?.[1]?.replaceAll('&#39;', "'") ?? '';
    const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)?.[1] ?? '';
    const script = /<script>([\s\S]*?)<\/script>/.exec(page)?.[1] ?? '';
    expect(policy.split('; ')).toEqual([
      "default-src 'none'",
      `style-src ${hash(style)}`,
      `script-src ${hash(script)}`,
      "base-uri 'none'",
      "form-action 'none'",
    ]);
  });

  test('stands before everything that it rules', () => {
    const at = page.indexOf('Content-Security-Policy');
    for (const other of ['<style', '<script', '<title', '<link', '<img']) {
      const where = page.indexOf(other);
      expect(where === -1 || where > at).toBe(true);
    }
  });

  test('has nothing to forbid: no style or event attributes, nothing loaded', () => {
    const body = page.slice(page.indexOf('<body>'), page.indexOf('<script>'));
    expect(body).not.toMatch(/\s(?:style|on[a-z]+|src|srcset|action)=/);
    expect(body.match(/href="[^"]*"/g)?.every((link) => link.startsWith('href="#'))).toBe(true);
  });
});

describe('the page', () => {
  test('names every client, with its snapshots and why they are kept', () => {
    const { status, snapshots } = exampleFleet();
    for (const { name } of status.clients) {
      expect(page).toContain(`id="${anchorOf(name)}"`);
      expect(page).toContain(`${snapshots.get(name)?.length} snapshots of ${name}`);
    }
    expect(page).toContain('held since');
    expect(page).toContain('one of the newest 3');
    expect(page).toContain('number 1 to go');
  });

  test('has one h1, headings without gaps, and a header in every table', () => {
    const levels = [...page.matchAll(/<h([1-6])/g)].map(([, level]) => Number(level));
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    expect(levels.every((level, at) => level <= (levels[at - 1] ?? 0) + 1)).toBe(true);
    const tables = page.match(/<table/g)?.length ?? 0;
    expect(page.match(/<thead><tr><th scope="col"/g)).toHaveLength(tables);
    expect(page.match(/<svg(?![^>]*(?:role="img"[^>]*aria-label|aria-hidden|viewBox))/g)).toBeNull();
  });

  test('every link leads somewhere, and no id stands twice', () => {
    const ids = [...page.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, target] of page.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(target);
  });

  test('is well formed: every element that is opened is closed', () => {
    const open: string[] = [];
    const whole = page.replace(/<(style|script)>[\s\S]*?<\/\1>/g, '');
    for (const [, slash, name = '', rest = ''] of whole.matchAll(/<(\/?)([a-z0-9]+)((?:"[^"]*"|[^">])*)>/gi)) {
      if (['meta', 'br'].includes(name) || rest.endsWith('/')) continue;
      if (slash === '') open.push(name);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
  });

  test('of a fleet of hostile names has no element and no attribute of theirs', () => {
    const hostile = renderPage(hostileFleet());
    const body = hostile.slice(hostile.indexOf('<body>'));
    expect(body.match(/<script/g)).toHaveLength(1);
    expect(body).not.toMatch(/<img|<iframe|<link|<base|<object|<form(?!-)/);
    expect(hostile).not.toMatch(/[\u202e\u009b\u0000]/);
    expect(hostile.replaceAll(/<(style|script)>[\s\S]*?<\/\1>/g, '')).not.toMatch(/<[^>"]*\son[a-z]+=/i);
  });

  test('of no clients says how to begin', () => {
    const { status, ...rest } = exampleFleet();
    const empty = renderPage({
      ...rest,
      status: { ...status, clients: [], alerts: [] },
      snapshots: new Map(),
      next: [],
    });
    expect(empty).toContain('byteback client invite NAME');
  });

  test('of five thousand snapshots stays small', () => {
    const fleet = exampleFleet();
    const [one] = fleet.snapshots.get('git.example.net') ?? [];
    if (one === undefined) throw new Error('git.example.net has snapshots');
    const many = Array.from({ length: 5000 }, (_, at) => ({
      ...one,
      at: new Date(Date.parse(fleet.status.at) - (5000 - at) * 3_600_000).toISOString(),
    }));
    const grown = renderPage({ ...fleet, snapshots: new Map([['git.example.net', many]]) });
    expect(grown.length).toBeLessThan(300_000);
  });
});

test('time runs from right to left, ever narrower', () => {
  const places = [0, 1, 7, 30, 365].map((days) => placeOf(days, 365));
  expect(places).toEqual(places.toSorted((a, b) => b - a));
  expect(places[0]).toBe(98);
  expect(places.at(-1)).toBe(2);
});
