import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { start } from '../../../system/run.ts';
import { jailedProgramArgv } from '../jailed.ts';

const snapshot = '2026-11-20T030000Z';
const few = 6000;
const many = 60_000;
/** Long enough that 60,000 rows together are some 100 MB in all their forms. */
const long = 'x'.repeat(120);
let directory = '';

beforeAll(() => {
  // Tens of thousands of files take a second in memory, and on a busy disk a minute.
  directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'byteback-memory-'));
  for (const [top, count] of [
    ['few', few],
    ['many', many],
  ] as const) {
    for (let number = 0; number < count; number += 1) {
      const place = `${directory}/${snapshot}/fs/${top}/${Math.floor(number / 500)}${long}/${long}`;
      if (number % 500 === 0) mkdirSync(place, { recursive: true });
      writeFileSync(`${place}/${number}${long}`, '');
    }
  }
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

/** Lists a part as the server does, without the jail. Gives the rows, and the most memory that the program ever had. */
async function list(top: string): Promise<{ rows: number; peakBytes: number }> {
  const [, ...words] = jailedProgramArgv('find');
  const argv = words.map((word) => (word.endsWith('/jailed.mjs') ? resolve('src/cli/jailed.ts') : word));
  const program = start([process.execPath, ...argv], {
    cwd: directory,
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
  });
  program.stdin?.end(JSON.stringify({ snapshot, patterns: [`/${top}/**`] }));
  let rows = 0;
  let peakBytes = 0;
  for await (const chunk of program.stdout as AsyncIterable<Buffer>) {
    rows += chunk.filter((byte) => byte === 0x0a).length;
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${program.pid}/status`, 'latin1'))?.[1];
    // It says nothing any more once it has ended.
    peakBytes = Math.max(peakBytes, Number(peak ?? 0) * 1024);
  }
  return { rows: rows - 1, peakBytes };
}

test('the lister takes no more memory for ten times as many files', { timeout: 120_000 }, async () => {
  const small = await list('few');
  const large = await list('many');
  // Each file, and its two directories.
  expect(small.rows).toBe(few + (2 * few) / 500);
  expect(large.rows).toBe(many + (2 * many) / 500);
  expect(large.peakBytes - small.peakBytes).toBeLessThan(40e6);
});
