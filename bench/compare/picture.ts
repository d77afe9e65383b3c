import type { Sizes } from './case.ts';
import { type CaseResult, figuresOf, median } from './judge.ts';

const colours: Readonly<Record<string, string>> = {
  byteback: '#16a',
  'byteback, no check due': '#6be',
  rsync: '#888',
  restic: '#c83',
  borg: '#5a5',
  ssh: '#ccc',
};
const left = 170;
const width = 560;
const barHeight = 16;

/** Seconds of each tool, case by case, each case on its own scale. */
export function picture(results: readonly CaseResult[], sizes: Sizes): string {
  const parts: string[] = [];
  let top = 40;
  for (const result of results) {
    const seconds = [...result.runs.keys()].map((tool) => ({
      tool,
      value: median(figuresOf(result, tool, 'seconds')),
    }));
    const most = Math.max(...seconds.map(({ value }) => value));
    parts.push(`<text x="${left}" y="${top}" font-weight="bold">${inXml(result.benchCase.what(sizes))}</text>`);
    top += 8;
    for (const { tool, value } of seconds) {
      const length = Math.max(1, (width * value) / most).toFixed(1);
      const middle = top + barHeight - 4;
      parts.push(
        `<text x="${left - 8}" y="${middle}" text-anchor="end">${inXml(tool)}</text>`,
        `<rect x="${left}" y="${top}" width="${length}" height="${barHeight - 3}" fill="${colours[tool] ?? '#a6a'}"/>`,
        `<text x="${left + Number(length) + 6}" y="${middle}">${value.toFixed(value < 10 ? 2 : 1)} s</text>`,
      );
      top += barHeight;
    }
    top += 26;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 80} ${top}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    `<text x="${left}" y="16" font-size="14">Seconds a run, median of ${sizes.rounds} rounds; shorter is better</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

const inXml = (text: string) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
