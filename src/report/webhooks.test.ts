import { expect, it } from 'vitest';
import { pingAddress, shownAddress } from './webhooks.ts';

it('pings as healthchecks do', () => {
  const base = 'https://hc.example.net/0d1e2f';
  expect(pingAddress(base, 'success')).toBe(base);
  expect(pingAddress(base, 'start')).toBe(`${base}/start`);
  expect(pingAddress(`${base}/?create=1`, 'fail')).toBe(`${base}/fail?create=1`);
});

it('shows an address without what may be secret in it', () => {
  expect(shownAddress('https://me:word@hc.example.net:8443/0d1e2f?token=x')).toBe('https://hc.example.net:8443/…');
});
