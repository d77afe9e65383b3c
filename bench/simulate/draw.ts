import type { Outcome, Sample } from './simulate.ts';

const plotWidth = 900;
const rowHeight = 46;
const left = 90;
const usedHeight = 120;
/** Upper limits of the ages, in days, that share one row of boxes; each is about a third more than the one before. */
const ageLimits = [
  1, 2, 3, 5, 7, 10, 14, 21, 28, 42, 56, 84, 112, 168, 224, 336, 448, 672, 896, 1344, 1792, 2688, 3650, 5400,
];

/**
 * What was kept over time, as SVG: the used part of the disk, then for each client its snapshots by age, the newest at
 * the top, on a scale that grows with age; the darker, the more there were.
 */
export function draw(
  { samples, days, historyDays, snapshots }: Outcome,
  settings: { startPercent: number; stopPercent: number },
): string {
  const clients = [...historyDays.keys()];
  const height = 40 + usedHeight + clients.length * (rowHeight + 6) + 40;
  const x = (day: number) => left + (plotWidth * day) / Math.max(1, days - 1);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + plotWidth + 110} ${height}" font-family="sans-serif" font-size="11">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    `<text x="${left}" y="16" font-size="14">What was kept over ${(days / 365.25).toFixed(1)} years</text>`,
    drawUsed(samples, x, settings),
  ];
  for (const [index, client] of clients.entries()) {
    const top = 40 + usedHeight + index * (rowHeight + 6);
    parts.push(
      `<g transform="translate(0 ${top})"><text x="${left - 8}" y="12" text-anchor="end">${inXml(client)}</text>`,
      `<rect x="${left}" width="${plotWidth}" height="${rowHeight}" fill="#f4f4f4"/>`,
      drawAges(samples, client, x),
      `<text x="${left + plotWidth + 6}" y="12">${historyDays.get(client)} days,</text>`,
      `<text x="${left + plotWidth + 6}" y="26">${snapshots.get(client)} snapshots</text></g>`,
    );
  }
  for (let year = 0; year * 365.25 <= days; year += 1) {
    parts.push(`<text x="${x(year * 365.25).toFixed(1)}" y="${height - 22}" text-anchor="middle">year ${year}</text>`);
  }
  parts.push(
    `<text x="${left}" y="${height - 6}" fill="#666">In each row the newest snapshots are at the top, the oldest (up to ${ageLimits.at(-1)} days) at the bottom.</text>`,
    '</svg>\n',
  );
  return parts.join('\n');
}

function drawUsed(
  samples: readonly Sample[],
  x: (day: number) => number,
  settings: { startPercent: number; stopPercent: number },
): string {
  const y = (percent: number) => 30 + usedHeight - 10 - ((usedHeight - 20) * percent) / 100;
  const line = samples.map(({ day, usedPercent }) => `${x(day).toFixed(1)},${y(usedPercent).toFixed(1)}`).join(' ');
  const level = (free: number, label: string) =>
    `<line x1="${left}" x2="${left + plotWidth}" y1="${y(100 - free)}" y2="${y(100 - free)}" stroke="#c60" stroke-dasharray="3 3"/><text x="${left + plotWidth + 6}" y="${y(100 - free) + 4}">${label}</text>`;
  return [
    `<text x="${left - 8}" y="${y(100) + 4}" text-anchor="end">full</text><text x="${left - 8}" y="${y(0) + 4}" text-anchor="end">empty</text>`,
    level(settings.startPercent, `${settings.startPercent} % free`),
    `<polyline points="${line}" fill="none" stroke="#06c" stroke-width="1.5"/>`,
  ].join('\n');
}

function drawAges(samples: readonly Sample[], client: string, x: (day: number) => number): string {
  const boxHeight = rowHeight / ageLimits.length;
  /** Boxes by darkness: one path each is much smaller than one element each. */
  const paths = new Map<number, string[]>();
  for (const [index, { day, ages }] of samples.entries()) {
    const width = x(samples[index + 1]?.day ?? day + 1) - x(day);
    const counts = ageLimits.map(() => 0);
    for (const age of ages.get(client) ?? []) {
      const box = ageLimits.findIndex((limit) => age <= limit);
      counts[box < 0 ? ageLimits.length - 1 : box] = (counts[box < 0 ? ageLimits.length - 1 : box] ?? 0) + 1;
    }
    for (const [box, count] of counts.entries()) {
      if (count === 0) continue;
      const days = (ageLimits[box] ?? 0) - (ageLimits[box - 1] ?? 0);
      const darkness = Math.min(4, 1 + Math.floor((count / days) * 4));
      const path = paths.get(darkness) ?? [];
      paths.set(darkness, path);
      path.push(
        `M${x(day).toFixed(1)} ${(box * boxHeight).toFixed(1)}h${width.toFixed(1)}v${boxHeight.toFixed(1)}h-${width.toFixed(1)}z`,
      );
    }
  }
  return [...paths]
    .map(([darkness, path]) => `<path d="${path.join('')}" fill="#164" fill-opacity="${darkness / 4}"/>`)
    .join('\n');
}

function inXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
