/** Figures in words, the same on the page and in mails. `output/` has its own for terminals, which report may not know. */

const sizeUnits = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** "999 bytes", "1.5 MiB", "12 GiB": three digits at most. */
export function sizeWords(bytes: number): string {
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < sizeUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${bytes < 0 ? '-' : ''}${Number(value.toFixed(digits))} ${unit === 0 && value === 1 ? 'byte' : sizeUnits[unit]}`;
}

/** "12 min", "5 h", "3 days", "4 months", "2.5 years". */
export function ageWords(ms: number): string {
  const minutes = Math.max(0, ms) / 60_000;
  if (minutes < 60) return `${Math.round(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h`;
  const days = minutes / 1440;
  if (days < 120) return `${Math.round(days)} days`;
  if (days < 700) return `${Math.round(days / 30.4)} months`;
  return `${Number((days / 365.25).toFixed(1))} years`;
}

/** "2026-11-20 03:00", UTC. */
export function timeWords(at: string): string {
  return `${at.slice(0, 10)} ${at.slice(11, 16)}`;
}

/** "1,204". */
export function numberWords(number: number): string {
  return String(number).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

/** "1 file", "2 files". */
export function countWords(count: number, one: string): string {
  return `${numberWords(count)} ${count === 1 ? one : `${one}s`}`;
}
