import { isAbsolute, normalize } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { serverDefaults } from '../../config/server-config.ts';
import { BytebackError } from '../../errors.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { completeSearchPath } from '../../system/programs.ts';
import { configurationStep, existingConfig, layoutStep, readAdminKey, registryStep } from './configuration.ts';
import { fileSystemStep, type StoreSource } from './file-system.ts';
import { mountStep } from './mount.ts';
import { namespacesStep } from './namespaces.ts';
import { originalsOfOthers, ownershipStep } from './ownership.ts';
import { packagesStep } from './packages.ts';
import { placesStep } from './places.ts';
import { proveServer } from './proof.ts';
import { quotaStep } from './quota.ts';
import { sliceStep } from './slice.ts';
import { sshdStep } from './sshd.ts';
import { startUpStep } from './start-up.ts';
import { lookAhead, type Step, stepLine, takeSteps } from './step.ts';
import { sudoersStep } from './sudoers.ts';
import { reportTimerStep, scrubTimerStep, timerStep } from './timer.ts';
import { installationStep, userStep } from './user.ts';

/** What the person asked for. */
export interface SetupServerOptions {
  /** The mount point; default: what server.toml says, or /byteback. */
  readonly store?: string | undefined;
  readonly user?: string | undefined;
  readonly device?: string | undefined;
  readonly image?: string | undefined;
  readonly sizeBytes?: number | undefined;
  /** Files with one public key each. */
  readonly adminKeyFiles: readonly string[];
  /** Answers every question with yes. */
  readonly yes: boolean;
  /** Formats what holds data. */
  readonly force: boolean;
  /** Turns simple quotas on. */
  readonly quota: boolean;
  /** Says what it would do, and does nothing. */
  readonly dryRun: boolean;
}

export interface SetupServerDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly confirm: (question: string) => Promise<boolean>;
}

/** What there is now. */
export interface SetupServerReport {
  readonly store: string;
  readonly user: string;
  /** Steps that had something to do; with dryRun: would have. */
  readonly changed: number;
  readonly dryRun: boolean;
  /** True when all that was set up has been tried out; false after a dry run. */
  readonly proven: boolean;
}

function usage(what: string, why?: string, fix?: string): BytebackError {
  return new BytebackError('usage', {
    what,
    ...(why === undefined ? {} : { why }),
    ...(fix === undefined ? {} : { fix }),
  });
}

function sourceOf({ device, image, sizeBytes }: SetupServerOptions): StoreSource {
  if (device !== undefined && image !== undefined)
    throw usage('--device and --image exclude each other', 'a store is on one of them');
  if (sizeBytes !== undefined && image === undefined)
    throw usage('--size is for --image only', 'a disk has the size that it has');
  const path = device ?? image;
  if (path !== undefined && !isAbsolute(path))
    throw usage(`${path} is not an absolute path`, 'it goes into /etc/fstab');
  if (device !== undefined) return { kind: 'device', path: normalize(device) };
  return image === undefined ? { kind: 'mounted' } : { kind: 'image', path: normalize(image), sizeBytes };
}

/** Directories that a store's mount would hide, or that it must not lie in. */
const unsuitable = [
  '/',
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/proc',
  '/root',
  '/run',
  '/sbin',
  '/sys',
  '/tmp',
  '/usr',
  '/var',
];

function checkStore(store: string, source: StoreSource): void {
  if (!/^\/[A-Za-z0-9._/-]+$/.test(store) || normalize(store) !== store || store.endsWith('/')) {
    throw usage(
      `--store ${store} is not a plain absolute path`,
      'letters, digits, dots, hyphens and slashes are allowed',
    );
  }
  const inside = ['/dev', '/proc', '/run', '/sys', '/tmp', '/usr'].some((directory) =>
    store.startsWith(`${directory}/`),
  );
  if (unsuitable.includes(store) || inside)
    throw usage(`--store ${store} cannot be a store`, 'the system needs that directory itself');
  if (source.kind === 'image' && source.path.startsWith(`${store}/`))
    throw usage(`the image ${source.path} would lie in its own store`);
}

/** The store and the user: as given, else as configured, else as always; what is given and configured must agree. */
async function settle(options: SetupServerOptions): Promise<{ store: string; user: string }> {
  const config = await existingConfig();
  const store = options.store ?? config?.store ?? serverDefaults.store;
  const user = options.user ?? config?.user ?? serverDefaults.user;
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(user)) throw usage(`--user ${user} is not a name for a user`);
  if (config !== undefined && (config.store !== store || config.user !== user)) {
    throw usage(
      'this machine is set up as a server already, differently',
      `${serverPaths.serverToml} says: store ${config.store}, user ${config.user}`,
      'leave --store and --user away, or change that file first',
    );
  }
  return { store, user };
}

/**
 * Makes this machine a byteback server. What is so already is left alone, so that it can be run again at any time.
 * @throws BytebackError of the first thing that cannot be done; a repeat goes on there.
 */
export async function setupServer(options: SetupServerOptions, deps: SetupServerDeps): Promise<SetupServerReport> {
  if (process.getuid?.() !== 0) throw usage('a server is set up by root', undefined, 'run: sudo byteback-setup-server');
  // What is made is read by the unprivileged user, whatever the caller's own umask is.
  process.umask(0o022);
  process.env['PATH'] = completeSearchPath(process.env['PATH']);
  const { log, clock } = deps;
  const source = sourceOf(options);
  const { store, user } = await settle(options);
  checkStore(store, source);
  const admins = await Promise.all(options.adminKeyFiles.map(readAdminKey));
  const confirm = options.yes ? async () => true : deps.confirm;
  const target = { store, source, force: options.force, confirm };
  const timer = timerStep();
  const reports = reportTimerStep();
  const packages = packagesStep(confirm);
  const steps: Step[] = [
    installationStep(),
    userStep(user, store),
    startUpStep(user, log),
    namespacesStep(user),
    fileSystemStep(target),
    mountStep(target),
    ownershipStep(store, user),
    layoutStep(store, clock),
    ...(options.quota ? [quotaStep(store)] : []),
    configurationStep(store, user),
    registryStep(admins, { store, user, clock, log }),
    placesStep(store, user),
    sudoersStep(user),
    sshdStep(user, confirm, log),
    ...[sliceStep(user), scrubTimerStep()].filter((step) => step !== undefined),
    ...(timer === undefined ? [] : [timer]),
    ...(reports === undefined ? [] : [reports]),
  ];
  // The other steps look with programs that these packages have.
  const installed = await takeSteps([packages], log, options.dryRun);
  if (options.dryRun && installed > 0) {
    log.warn('what else would be done can only be told once these packages are there');
    return { store, user, changed: installed, dryRun: true, proven: false };
  }
  await lookAhead(steps);
  const changed = installed + (await takeSteps(steps, log, options.dryRun));
  if (timer === undefined) log.warn('neither systemd nor cron runs here: the store is pruned only after each snapshot');
  if (options.dryRun) return { store, user, changed, dryRun: true, proven: false };
  for (const { path, user: owner } of await originalsOfOthers(store, user))
    log.warn(
      `${path}: ${owner} can still change this history of the original; when nobody needs ${owner}: userdel ${owner}; byteback-setup-server`,
    );
  log.step(stepLine('proof', 'trying all of it with a client that is thrown away'));
  await proveServer({ store, user }, { log, clock });
  return { store, user, changed, dryRun: false, proven: true };
}
