import type { Sizes } from './case.ts';
import { type CaseResult, figuresOf, judge, median, ratioTo } from './judge.ts';

const megabytes = (values: readonly number[]) => {
  const value = median(values) / 1e6;
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);
};

/** All results as a table in Markdown, and below it what was asked and what was found. */
export function markdown(results: readonly CaseResult[], sizes: Sizes, machine: string): string {
  const lines = [
    machine,
    '',
    `Medians of ${sizes.rounds} rounds; the ratio is the median of the ratios of each round. Memory is the largest sum of all processes of a side.`,
    '',
    "Work is processor time of both sides together, the kernel's own later work left out; metadata is what of the new disk is btrfs' own.",
    '',
    '| case | tool | seconds | fastest | to rsync | work s | to rsync | wire MB | new disk MB | metadata MB | client MB | server MB |',
    '|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
  ];
  for (const result of results) {
    let title = result.benchCase.what(sizes);
    for (const tool of result.runs.keys()) {
      const seconds = figuresOf(result, tool, 'seconds');
      const ratio = ratioTo(result, tool, 'rsync', 'seconds');
      const work = median(figuresOf(result, tool, 'cpuSeconds'));
      const workRatio = ratioTo(result, tool, 'rsync', 'cpuSeconds');
      const cells = [
        title,
        tool,
        median(seconds).toFixed(2),
        Math.min(...seconds).toFixed(2),
        Number.isFinite(ratio) ? ratio.toFixed(2) : '',
        Number.isFinite(work) ? work.toFixed(2) : '',
        Number.isFinite(workRatio) ? workRatio.toFixed(2) : '',
        ...(['wireBytes', 'diskBytes', 'metadataBytes', 'clientBytes', 'serverBytes'] as const).map((figure) =>
          megabytes(figuresOf(result, tool, figure)),
        ),
      ];
      lines.push(`| ${cells.join(' | ')} |`);
      title = '';
    }
  }
  lines.push('', '| case | asked of byteback | found | |', '|---|---|---:|---|');
  for (const result of results) {
    for (const { asked, got, holds } of judge(result, sizes)) {
      const found = got < 0.01 ? got.toPrecision(2) : got.toFixed(got < 10 ? 2 : 1);
      lines.push(`| ${result.benchCase.what(sizes)} | ${asked} | ${found} | ${holds ? 'holds' : '**missed**'} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}
