import { dirname } from 'node:path';
import { reasonOf } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { writeFileAtomically } from '../system/files.ts';
import type { Log } from '../system/log.ts';
import { version } from '../version.ts';
import { lookAtServer, type StatusSources } from './status.ts';
import { recordSpace } from './status-space.ts';

/**
 * What is done after each run and each prune: the store's space is recorded for the page, and the metrics and the page are
 * written where server.toml wants them. Its failure fails nothing else: it is logged.
 */
export async function refreshReports(
  sources: StatusSources,
  { clock, log }: { clock: Clock; log: Log },
): Promise<void> {
  const { config, store } = sources;
  try {
    const looked = await lookAtServer(sources, { clock });
    const { at, store: space } = looked.status;
    const { totalBytes, freeBytes, historyBytes } = space;
    // A store that takes nothing more is told by the page and the metrics all the same.
    if (space.state !== 'away') {
      await recordSpace(store, { at, totalBytes, freeBytes, historyBytes }).catch((error: unknown) =>
        log.warn(`the space is not recorded: ${reasonOf(error)}`),
      );
    }
    if (config.metricsOutput !== undefined) {
      const { metricsText } = await import('../report/metrics.ts');
      await writeForOthers(config.metricsOutput, metricsText(looked.status, { version }));
    }
    if (config.pageOutput !== undefined) {
      const [{ readPage }, { renderPage }] = await Promise.all([
        import('./status-page.ts'),
        import('../report/page/page.ts'),
      ]);
      await writeForOthers(config.pageOutput, renderPage(await readPage(looked, sources, { clock })));
    }
  } catch (error) {
    log.warn(`metrics and page are not written: ${reasonOf(error)}`);
  }
}

/**
 * Replaces a file that a web server or node_exporter reads.
 * @throws Error when its directory is not there: where it is to be is the admin's to decide.
 */
export async function writeForOthers(path: string, text: string): Promise<void> {
  try {
    await writeFileAtomically(path, text, { mode: 0o644 });
  } catch (error) {
    throw new Error(`cannot write ${path}: ${reasonOf(error)}; is there a directory ${dirname(path)}?`, {
      cause: error,
    });
  }
}
