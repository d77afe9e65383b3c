import { lstat, readdir } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { serverPaths } from '../config/paths.ts';
import { loadPresentServerConfig, loadServerConfig, type ServerConfig } from '../config/server-config.ts';
import { BytebackError } from '../errors.ts';
import type { Check, Verdict } from '../findings.ts';
import { findingsIn } from '../hooks/hook-findings.ts';
import { findUser } from '../system/accounts.ts';
import type { Clock } from '../system/clock.ts';
import { isMissing } from '../system/files.ts';
import type { Log } from '../system/log.ts';
import { isSystemdRunning } from '../system/systemd.ts';
import { isOlder, type KnownProgram, programVersion } from '../system/versions.ts';
import { verdictOf } from './health/checks.ts';
import { checkMail } from './post/check.ts';
import { readRegistry, strangeLines } from './registry.ts';
import { proveSandbox } from './sandbox/prove.ts';
import { configurationStep, layoutStep, registryStep } from './setup/configuration.ts';
import { mountStep } from './setup/mount.ts';
import { originalsOfOthers, ownershipStep } from './setup/ownership.ts';
import { sliceStep } from './setup/slice.ts';
import { sshdStep } from './setup/sshd.ts';
import type { Step } from './setup/step.ts';
import { sudoersStep } from './setup/sudoers.ts';
import { reportTimerStep, scrubTimerStep, timerStep } from './setup/timer.ts';
import { installationStep, userStep } from './setup/user.ts';
import { lookAtServer, statusSources } from './status.ts';
import { listClientNames, openStore } from './store.ts';

/** What the checks of a server need. */
export interface DoctorDeps {
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * Everything that a server needs, looked at; nothing is changed. What set-up brings about is looked at by set-up's own
 * steps, so that the two never disagree. Needs root.
 */
export function serverChecks({ log, clock }: DoctorDeps): Check[] {
  // A configuration that cannot be read is told once, by its own check; what depends on it is not looked at then.
  const withConfig = (look: (config: ServerConfig) => Promise<Verdict | readonly Verdict[]>) => async () => {
    const config = await loadServerConfig().catch((error: unknown) => {
      if (error instanceof BytebackError) return undefined;
      throw error;
    });
    return config === undefined ? [] : look(config);
  };
  const asConfigured = (area: string, okText: string, stepOf: (config: ServerConfig) => Step | undefined): Check => ({
    area,
    look: withConfig((config) => checkStep(stepOf(config), okText)),
  });
  const never = async () => false;
  return [
    { area: 'programs', look: checkPrograms },
    { area: 'installation', look: () => checkStep(installationStep(), `${serverPaths.libDir} is root's`) },
    { area: 'configuration', look: checkConfiguration },
    asConfigured('user', "nobody else's, without a password", ({ user, store }) => userStep(user, store)),
    asConfigured('mount', 'with safe options, and in /etc/fstab', ({ store }) =>
      mountStep({ store, source: { kind: 'mounted' }, force: false, confirm: never }),
    ),
    asConfigured('owners', "the store's top and the way to it are root's", ({ store, user }) =>
      ownershipStep(store, user),
    ),
    asConfigured('store', 'complete', ({ store }) => layoutStep(store, clock)),
    { area: 'registry', look: checkRegistry },
    asConfigured('registry', `${serverPaths.authorizedKeys} is root's`, ({ store, user }) =>
      registryStep([], { store, user, clock }),
    ),
    asConfigured('sudo', 'starts the two helpers', ({ user }) => sudoersStep(user)),
    asConfigured('sshd', 'sends the user to byteback-receive, and nowhere else', ({ user }) =>
      sshdStep(user, never, log),
    ),
    { area: 'sandbox', look: withConfig(checkSandbox) },
    { area: 'timer', look: checkTimer },
    { area: 'timer', look: checkScrubTimer },
    asConfigured(
      'limits',
      isSystemdRunning()
        ? 'receivers are kept to their share of the machine'
        : 'none for the receivers: systemd does not run here',
      ({ user }) => sliceStep(user),
    ),
    { area: 'hooks', look: checkHooks },
    { area: 'mail', look: withConfig((config) => checkMail(config, clock)) },
    { area: 'places', look: withConfig(checkPlaces) },
    { area: 'health', look: withConfig(() => checkHealth(clock)) },
  ];
}

async function checkConfiguration(): Promise<Verdict> {
  const { store, user } = await loadPresentServerConfig();
  return checkStep(configurationStep(store, user), serverPaths.serverToml);
}

/** A step of set-up with nothing left to do is well. */
async function checkStep(step: Step | undefined, okText: string): Promise<Verdict> {
  const todo = await step?.check();
  return todo === undefined
    ? okText
    : { state: 'failure', what: `not done: ${todo}`, fix: 'run byteback-setup-server again' };
}

/** Oldest versions that have what byteback uses. */
const needed: readonly { program: KnownProgram; packageName: string; oldest: string; because: string }[] = [
  { program: 'rsync', packageName: 'rsync', oldest: '3.2.3', because: 'it lacks options that the receiver is given' },
  { program: 'ssh', packageName: 'openssh-server', oldest: '8.2', because: 'sshd lacks Include' },
  { program: 'btrfs', packageName: 'btrfs-progs', oldest: '5.0', because: 'it lacks options of subvolume delete' },
  {
    program: 'bwrap',
    packageName: 'bubblewrap',
    oldest: '0.8.0',
    because: 'it cannot switch user namespaces off in the jail',
  },
  { program: 'sudo', packageName: 'sudo', oldest: '1.8.0', because: 'it is not tested with byteback' },
];

async function checkPrograms(): Promise<Verdict[]> {
  const versions = await Promise.all(needed.map(({ program }) => programVersion(program)));
  const wrong = needed.flatMap(({ program, packageName, oldest, because }, index): Verdict[] => {
    const found = versions[index] ?? 'missing';
    const fix = `apt-get install ${packageName}`;
    if (found === 'missing') return [{ state: 'failure', what: `${program} is not installed`, fix }];
    if (found === 'unknown' || !isOlder(found, oldest)) return [];
    return [{ state: 'failure', what: `${program} ${found} is older than ${oldest}`, why: because, fix }];
  });
  const [rsync = ''] = versions;
  const unconfined: Verdict[] =
    /^\d/.test(rsync) && isOlder(rsync, '3.5.0')
      ? [
          {
            state: 'warning',
            what: `rsync ${rsync} cannot confine itself to its directory`,
            why: 'from 3.5.0 on it can; until then the sandbox alone keeps one client out of the files of another',
            fix: 'install rsync 3.5.0 or newer',
          },
        ]
      : [];
  const found = needed.map(({ program }, index) => `${program} ${versions[index]}`).join(', ');
  return [...(wrong.length === 0 ? [`${found}, kernel ${release()}`] : wrong), ...unconfined];
}

async function checkRegistry(): Promise<Verdict[]> {
  const strange = strangeLines(await readRegistry(serverPaths.authorizedKeys));
  return strange.map(({ line, why }) => ({
    state: 'warning',
    what: `${serverPaths.authorizedKeys}:${line} gives nobody a role`,
    why,
    fix: 'take the line out, or add the client with: byteback client add NAME --key FILE',
  }));
}

/** Nothing is started: what can be seen from outside. */
async function checkHooks(): Promise<Verdict[]> {
  const steps = ['prepare.d', 'complete.d'].map((name) => join(serverPaths.hooksDir, name));
  const ofClients = await Promise.all(
    steps.map(async (step) => {
      const entries = await readdir(step, { withFileTypes: true }).catch((error: unknown) => {
        if (isMissing(error)) return [];
        throw error;
      });
      return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(step, name));
    }),
  );
  const findings = await findingsIn([...steps, ...ofClients.flat()]);
  return findings.map(({ what, why, fix, isPassedOver }) => ({
    state: isPassedOver ? 'warning' : 'failure',
    what,
    why,
    fix,
  }));
}

/** The jail, run as the user, around a directory that is empty and nobody's but root's. */
async function checkSandbox({ user, store }: ServerConfig): Promise<Verdict> {
  const account = await findUser(user);
  if (account === undefined)
    throw new BytebackError('usage', { what: `there is no user ${user}`, fix: 'run byteback-setup-server' });
  await proveSandbox({
    directory: `${serverPaths.libDir}/home`,
    access: 'read',
    hidden: [store, serverPaths.configDir],
    account,
  });
  return 'holds';
}

/** Without systemd and cron the check above says so already. */
async function checkScrubTimer(): Promise<Verdict[]> {
  const step = scrubTimerStep();
  return step === undefined ? [] : [await checkStep(step, 'scrubs monthly')];
}

async function checkTimer(): Promise<Verdict> {
  const [step, reports] = [timerStep(), reportTimerStep()];
  if (step !== undefined && reports !== undefined) {
    const pruning = await checkStep(step, 'prunes hourly, and sends what waits to be mailed');
    return typeof pruning === 'string' ? checkStep(reports, pruning) : pruning;
  }
  return {
    state: 'warning',
    what: 'neither systemd nor cron runs here',
    why: 'the store is pruned, and reports are sent, only after each snapshot; nobody hears of an overdue client',
  };
}

/** Each client's place: what is root's must be root's, and only `fs` may be the user's. */
async function checkPlaces(config: ServerConfig): Promise<Verdict[]> {
  const store = await openStore(config);
  const account = await findUser(config.user);
  const names = await listClientNames(store);
  const problems: Verdict[] = [];
  for (const name of names) {
    const expected = [
      { path: store.clientDir(name), uid: 0, mode: 0o750 },
      { path: store.snapshotsDir(name), uid: 0, mode: 0o755 },
      { path: store.currentDir(name), uid: 0, mode: 0o755 },
      // Its mode is the one that the client's own root directory has.
      { path: store.fsDir(name), uid: account?.uid, mode: undefined },
      { path: store.lockFile(name), uid: 0, mode: 0o640 },
    ];
    for (const { path, uid, mode } of expected) problems.push(...(await whatIsWrongAt(path, uid, mode)));
  }
  for (const { path, user } of await originalsOfOthers(config.store, config.user)) {
    problems.push({
      state: 'warning',
      what: `${user} can still change the history in ${path}`,
      why: 'the original byteback left it to this user',
      fix: `when nobody needs ${user} any more: userdel ${user}; byteback-setup-server`,
    });
  }
  return problems.length === 0 ? [`${names.length} in the store, each as it must be`] : problems;
}

async function whatIsWrongAt(path: string, uid: number | undefined, mode: number | undefined): Promise<Verdict[]> {
  try {
    const found = await lstat(path);
    const foundMode = found.mode & 0o7777;
    if (found.uid === uid && (mode ?? foundMode) === foundMode && !found.isSymbolicLink()) return [];
    const say = (user: number | undefined, bits: number) => `user ${user}, mode 0${bits.toString(8)}`;
    return [
      {
        state: 'failure',
        what: `${path} is not as it must be`,
        why: `${found.isSymbolicLink() ? 'a symbolic link, ' : ''}${say(found.uid, foundMode)} instead of ${say(uid, mode ?? foundMode)}`,
        fix: 'find out who changed it; then give it its owner and mode back with chown and chmod',
      },
    ];
  } catch (error) {
    if (!isMissing(error)) throw error;
    return [
      {
        state: 'failure',
        what: `${path} is missing`,
        fix: 'add the client again: byteback client add NAME --key FILE --replace',
      },
    ];
  }
}

/** The same health that status, the metrics, the page and the mails tell. What is critical keeps byteback from working. */
async function checkHealth(clock: Clock): Promise<Verdict[]> {
  const { status, health } = await lookAtServer(await statusSources(), { clock });
  const { clients, store } = status;
  const count = clients.filter(({ registered }) => registered).length;
  const free = Math.round((100 * store.freeBytes) / Math.max(1, store.totalBytes));
  const well = store.state === 'away' ? [] : [`${count} registered, ${free} % of the store free`];
  // What is wrong with server.toml is told by its own check.
  return [...well, ...health.filter(({ id }) => id !== 'config-bad').map(verdictOf)];
}
