/** Runs of a client in the test's own process: faster than the command, and with its report. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { type BackupOptions, type RunReport, runBackup } from '../../src/client/run-backup.ts';
import { loadClientConfig } from '../../src/config/client-config.ts';
import { clientPaths } from '../../src/config/paths.ts';
import { systemClock } from '../../src/system/clock.ts';
import { type Log, silentLog } from '../../src/system/log.ts';
import type { TestClient } from './installed-machine.ts';

/** One run, and what it said. */
export async function backUpInside(
  client: TestClient,
  options: BackupOptions,
): Promise<{ report: RunReport; said: string[] }> {
  const paths = clientPaths(client.env);
  const said: string[] = [];
  const log: Log = {
    ...silentLog,
    step: (text) => said.push(text),
    info: (text) => said.push(text),
    debug: (text) => said.push(text),
  };
  const report = await runBackup(options, {
    config: await loadClientConfig(paths),
    paths,
    log,
    clock: systemClock,
    signal: new AbortController().signal,
    version: 'test',
  });
  return { report, said };
}

/** Makes as if days had gone by, so that the next run has a part of the tree to check by checksum. */
export async function daysLater(client: TestClient, days: number): Promise<void> {
  for (const name of await readdir(client.stateDir)) {
    if (!/^catalogue-[0-9a-f]+\.json$/.test(name)) continue;
    const file = `${client.stateDir}/${name}`;
    const catalogue = JSON.parse(await readFile(file, 'utf8'));
    await writeFile(file, JSON.stringify({ ...catalogue, checkedAt: catalogue.checkedAt - days * 24 * 3_600_000 }));
  }
}
