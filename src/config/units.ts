const durationUnitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** What a duration looks like, for error messages. */
export const durationForm = 'a number and a unit: s, m, h, d or w, such as "10m" or "1h 30m"';

/** Milliseconds of "10m", "90 s", "1h 30m"; undefined when it is no duration. */
export function parseDuration(text: string): number | undefined {
  let totalMs = 0;
  if (!/^\s*(?:\d{1,9}(?:\.\d{1,3})?\s*(?:ms|[smhdw])\s*)+$/.test(text)) return undefined;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|[smhdw])/g)) {
    totalMs += Number(number) * (durationUnitsMs[unit ?? ''] ?? Number.NaN);
  }
  return Number.isSafeInteger(Math.round(totalMs)) ? Math.round(totalMs) : undefined;
}

/** What a size looks like, for error messages. */
export const sizeForm =
  'a number of bytes, or a number and K, M, G, T (1,024), KB, MB, GB, TB (1,000), such as "4G" or "1 GiB"';

const sizePowers = ['', 'k', 'm', 'g', 't', 'p'];

/** Bytes of "4G" and "1 GiB" (powers of 1,024) or "500 MB" (powers of 1,000); undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmgtp]?)(ib|b)?\s*$/i.exec(text);
  if (match === null) return undefined;
  const [, number, prefix = '', suffix = ''] = match;
  if (prefix === '' && suffix.toLowerCase() === 'ib') return undefined;
  const base = prefix !== '' && suffix.toLowerCase() === 'b' ? 1000 : 1024;
  const bytes = Math.round(Number(number) * base ** sizePowers.indexOf(prefix.toLowerCase()));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The number of "5%" or "7.5 %", 0 to 100; undefined when it is no percentage. */
export function parsePercent(text: string): number | undefined {
  const match = /^\s*(\d{1,3}(?:\.\d{1,3})?)\s*%\s*$/.exec(text);
  if (match === null) return undefined;
  const percent = Number(match[1]);
  return percent <= 100 ? percent : undefined;
}
