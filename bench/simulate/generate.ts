import { type Trace, TraceBuilder } from './trace.ts';

/** Numbers from 0 to 1 that are the same each time. */
function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** About normally distributed, mean 0, deviation 1. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** What a written part of a tree lives for, in days, and its part of what is written. */
const lives = [
  { part: 0.35, meanDays: 3 },
  { part: 0.4, meanDays: 30 },
  { part: 0.2, meanDays: 250 },
] as const;

/**
 * Years of clients of very different sizes and habits: most of what a backup writes is soon overwritten, some stays.
 * With floods, one day of ransomware, clients that come later, go and come back, and a disk that is enlarged once.
 */
export function generateTrace({ years, clients, seed }: { years: number; clients: number; seed: number }): Trace {
  const random = randomNumbers(seed);
  const builder = new TraceBuilder();
  const days = Math.round(years * 365.25);
  let treesBytes = 0;
  for (let index = 0; index < clients; index += 1) {
    const name = `c${String(index).padStart(2, '0')}`;
    const treeBytes = 20e9 * Math.exp(1.2 * normal(random));
    const churn = 0.01 * Math.exp(0.8 * normal(random));
    const begins = random() < 0.8 ? 0 : Math.floor(random() * days * 0.6);
    const away =
      random() < 0.1 ? { from: Math.floor(random() * days), days: 100 + Math.floor(random() * 400) } : undefined;
    const floods = random() < 0.08 ? Math.floor(random() * days) : -1;
    const everyDays = random() < 0.1 ? 7 : 1;
    treesBytes += treeBytes;
    if (away !== undefined) {
      builder.event({ day: away.from, kind: 'vanishes', client: name, value: 1 });
      builder.event({ day: Math.min(days - 1, away.from + away.days), kind: 'returns', client: name, value: 1 });
    }
    if (floods >= begins && floods >= 0) builder.event({ day: floods, kind: 'flood', client: name, value: 5 });
    const ransomwareOn = index === 1 ? Math.floor(days * 0.7) : -1;
    if (ransomwareOn >= 0) builder.event({ day: ransomwareOn, kind: 'ransomware', client: name, value: 1 });
    for (let part = 0; part < 20; part += 1) {
      const dies = part < 8 ? -1 : begins + 1 + Math.floor(-Math.log(1 - random()) * 900);
      const end = ransomwareOn > begins && (dies < 0 || dies > ransomwareOn) ? ransomwareOn : dies;
      builder.written(begins, name, Math.round(treeBytes / 20), end);
    }
    for (let day = begins + 1; day < days; day += 1) {
      const isAway = away !== undefined && day >= away.from && day < away.from + away.days;
      const flooding = floods >= begins && floods >= 0 && day >= floods && day < floods + 5;
      if (isAway || (day - begins) % everyDays > 0 || (random() < 0.02 && !flooding && day !== ransomwareOn)) continue;
      if (day === ransomwareOn) builder.written(day, name, Math.round(treeBytes), -1);
      if (flooding) builder.written(day, name, Math.round(4 * treeBytes), day + 1);
      const bytes = treeBytes * churn * everyDays * Math.exp(0.7 * normal(random));
      for (const { part, meanDays } of lives) {
        const life = 1 + Math.floor(-Math.log(1 - random()) * meanDays);
        const dies = day < ransomwareOn ? Math.min(day + life, ransomwareOn) : day + life;
        builder.written(day, name, Math.round(bytes * part), dies);
      }
      builder.written(day, name, Math.round(bytes * 0.02 * random()), day < ransomwareOn ? ransomwareOn : -1);
    }
  }
  builder.event({ day: 0, kind: 'disk', client: '-', value: Math.round(treesBytes * 3) });
  builder.event({ day: Math.floor(days * 0.6), kind: 'disk', client: '-', value: Math.round(treesBytes * 4.5) });
  return builder.build();
}
