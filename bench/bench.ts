/**
 * `npm run bench [-- [CASE]...]`: byteback beside bare rsync, restic and borg. In each round every tool backs up the same
 * tree, one after the other, so that what slows the machine slows all. Prints a table (Markdown) and writes it with a
 * picture; ends with 1 when a bound is missed, and says which.
 *
 *     --quick          a tenth of the sizes, one round: a minute or two
 *     --files N        files of the cases with many small ones (100000); `million` has ten times as many
 *     --rounds N       (3)
 *     --tools A,B      of byteback, rsync, restic, borg (all that are installed)
 *     --all            the cases too that take long
 *     --in DIR         where the disks of source and server lie, as files (/var/tmp)
 *     --to DIR         where bench.md and bench.svg go; a directory below the one this is called from (that one itself)
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { allCases } from './cases/all.ts';
import { withBench } from './compare/bench-machine.ts';
import type { BenchCase, Sizes } from './compare/case.ts';
import { type CaseResult, judge } from './compare/judge.ts';
import type { Measured } from './compare/measure.ts';
import { picture } from './compare/picture.ts';
import { markdown } from './compare/table.ts';
import { allTools } from './tools/all.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: 'boolean' },
    quick: { type: 'boolean' },
    all: { type: 'boolean' },
    files: { type: 'string' },
    rounds: { type: 'string' },
    tools: { type: 'string' },
    in: { type: 'string' },
    to: { type: 'string' },
  },
});

function number(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: a whole number from 1 on, not ${text}`);
  return value;
}

function chosen<T extends { readonly name: string }>(all: readonly T[], names: readonly string[]): T[] {
  const unknown = names.find((name) => !all.some((each) => each.name === name));
  if (unknown === undefined) return all.filter(({ name }) => names.includes(name));
  throw new Error(`there is no ${unknown}; there are ${all.map(({ name }) => name).join(', ')}`);
}

function settings(): { cases: BenchCase[]; tools: typeof allTools; sizes: Sizes; to: string } {
  const files = number('files', values.files, values.quick ? 10_000 : 100_000);
  return {
    cases: positionals.length > 0 ? chosen(allCases, positionals) : allCases.filter(({ long }) => values.all || !long),
    tools: values.tools === undefined ? allTools : chosen(allTools, values.tools.split(',')),
    sizes: {
      files,
      rounds: number('rounds', values.rounds, values.quick ? 1 : 3),
      scale: Math.min(1, files / 100_000),
    },
    to: resolve(process.env['BYTEBACK_BENCH_FROM'] ?? '.', values.to ?? '.'),
  };
}

/** What it was measured on. */
function machine(): string {
  const cpu = /^model name\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1] ?? process.arch;
  const kernel = readFileSync('/proc/sys/kernel/osrelease', 'latin1').trim();
  const memory = Math.round(totalmem() / 1024 ** 3);
  const load = loadavg()[0]?.toFixed(1);
  return `${availableParallelism()} processors (${cpu}), ${memory} GiB of memory, Linux ${kernel}, loopback ssh, ext4 source, btrfs store; load at the start ${load}.`;
}

async function main(): Promise<void> {
  const { cases, tools, sizes, to } = settings();
  if (values.check) {
    if (values.in !== undefined) process.stdout.write(`${resolve(process.env['INIT_CWD'] ?? '.', values.in)}\n`);
    return;
  }
  const on = machine();
  const log = (text: string) => process.stderr.write(`${text}\n`);
  const results: CaseResult[] = [];
  await withBench({ sizes, tools, log }, async (bench) => {
    for (const benchCase of cases) {
      log(`${benchCase.name}: ${benchCase.what(sizes)}`);
      const runs = new Map<string, Measured[]>();
      await benchCase.run(bench, (tool, measured) => {
        runs.set(tool, [...(runs.get(tool) ?? []), measured]);
        const { seconds, cpuSeconds, wireBytes, diskBytes, clientBytes, serverBytes } = measured;
        const [wire, disk, client, server] = [wireBytes, diskBytes, clientBytes, serverBytes].map((bytes) =>
          (bytes / 1e6).toFixed(2),
        );
        const work = `${seconds.toFixed(2)} s, work ${cpuSeconds.toFixed(2)} s, load ${loadavg()[0]?.toFixed(1)}`;
        log(`  ${tool}: ${work}; MB: wire ${wire}, disk ${disk}, client ${client}, server ${server}`);
      });
      // In the order of the table, whoever was first in the last round.
      const order = [
        'ssh',
        ...allTools.flatMap(({ name }) => (name === 'byteback' ? [name, 'byteback, no check due'] : [name])),
      ];
      const sorted = [...runs].sort(([one], [other]) => order.indexOf(one) - order.indexOf(other));
      results.push({ benchCase, runs: new Map(sorted) });
    }
  });
  const table = markdown(results, sizes, on);
  await writeFile(join(to, 'bench.md'), table);
  await writeFile(join(to, 'bench.svg'), picture(results, sizes));
  process.stdout.write(`\n${table}`);
  for (const result of results) {
    for (const { asked, got, holds } of judge(result, sizes)) {
      if (holds) continue;
      log(`missed: ${result.benchCase.name}: ${asked}, found ${got.toPrecision(3)}`);
      process.exitCode = 1;
    }
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
