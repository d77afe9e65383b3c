import { stat } from 'node:fs/promises';
import { loadClientConfig } from '../config/client-config.ts';
import type { ClientPaths } from '../config/paths.ts';
import type { Check, Verdict } from '../findings.ts';
import { parseDestination, sshHost } from '../protocol/destination.ts';
import { PingReplySchema, protocolVersion } from '../protocol/messages.ts';
import { selfAttacks, whatItGot } from '../protocol/self-attacks.ts';
import type { Clock } from '../system/clock.ts';
import { isMissing } from '../system/files.ts';
import { openMountSpace } from '../system/mount-space.ts';
import { findSilent } from '../system/silent-paths.ts';
import { openSsh } from '../system/ssh.ts';
import { attemptSsh } from '../system/ssh-attempt.ts';
import { isOlder, programVersion } from '../system/versions.ts';
import { findingsOfHooks } from './hooks.ts';
import { ask } from './remote.ts';
import type { Resent } from './resent.ts';
import { toByteString } from './sources.ts';
import { readOwnStatus } from './status.ts';

/** Everything that a client needs for its next run, looked at; nothing is changed. */
export function clientChecks(
  paths: ClientPaths,
  deps: { clock: Clock; signal: AbortSignal; attack?: boolean },
): Check[] {
  return [
    { area: 'programs', look: checkPrograms },
    { area: 'configuration', look: () => checkConfiguration(paths) },
    { area: 'mounts', look: () => checkNamespace(deps.signal) },
    { area: 'hooks', look: () => checkHooks(paths) },
    { area: 'key', look: () => checkKey(paths) },
    { area: 'host key', look: () => checkPresent(paths.knownHosts, 'the server cannot be told from another one') },
    { area: 'ssh', look: () => checkPresent(paths.sshConfig, 'ssh does not know which key to use') },
    { area: 'server', look: () => checkServer(paths, deps.signal) },
    ...(deps.attack === true ? [{ area: 'attacks', look: () => checkAttacks(paths, deps.signal) }] : []),
    { area: 'schedule', look: () => checkSchedule(paths, deps.clock) },
  ];
}

/** From this on rsync compares times to the nanosecond when asked (--modify-window=-1). */
const oldestRsync = '3.1.3';

async function checkPrograms(): Promise<Verdict> {
  const [rsync, ssh] = await Promise.all([programVersion('rsync'), programVersion('ssh')]);
  for (const [name, found, packageName] of [
    ['rsync', rsync, 'rsync'],
    ['ssh', ssh, 'openssh-client'],
  ]) {
    if (found !== 'missing') continue;
    return { state: 'failure', what: `${name} is not installed`, fix: `install it: apt-get install ${packageName}` };
  }
  if (rsync !== 'unknown' && isOlder(rsync, oldestRsync)) {
    return {
      state: 'failure',
      what: `rsync ${rsync} is too old`,
      why: `before ${oldestRsync} it compares times to the second only, and misses changes`,
      fix: 'install a newer rsync',
    };
  }
  return `rsync ${rsync}, OpenSSH ${ssh}`;
}

async function checkConfiguration(paths: ClientPaths): Promise<Verdict[]> {
  const { destination, source, original } = await loadClientConfig(paths);
  const silent = await findSilent(source.map(toByteString));
  const sources = await Promise.all(
    source.map(async (path): Promise<Verdict[]> => {
      if (silent.includes(toByteString(path))) {
        const fix = `umount --lazy ${path}, and mount it again`;
        return [{ state: 'warning', what: `the source ${path} does not answer`, why: 'each run is partial', fix }];
      }
      try {
        await stat(path);
        return [];
      } catch (error) {
        if (!isMissing(error)) throw error;
        return [
          { state: 'warning', what: `the source ${path} does not exist`, fix: `correct source in ${paths.clientToml}` },
        ];
      }
    }),
  );
  const whole: Verdict[] =
    source.includes('/') && process.getuid?.() !== 0
      ? [
          {
            state: 'warning',
            what: 'only root can read everything',
            why: 'the source is / and you are not root',
            fix: 'run it as root',
          },
        ]
      : [];
  const flags: Verdict[] =
    original.rsyncFlags.length === 0
      ? []
      : [
          {
            state: 'warning',
            what: `rsync_flags of the original byteback: ${original.rsyncFlags.join(' ')}`,
            why: 'the server refuses options that it does not know',
          },
        ];
  const open = [
    ...(await Promise.all([paths.configDir, paths.clientToml, paths.hooksDir].map(whoElseCanWrite))),
    await whoElseCanRead(paths.clientToml),
  ];
  return [`sends ${source.join(' ')} to ${destination}`, ...sources.flat(), ...whole, ...flags, ...open.flat()];
}

async function whoElseCanRead(path: string): Promise<Verdict[]> {
  const { mode } = await stat(path);
  return (mode & 0o044) === 0
    ? []
    : [
        {
          state: 'warning',
          what: `${path} can be read by others`,
          why: `its mode is 0${(mode & 0o777).toString(8)}; addresses of pings and web hooks in it are secrets`,
          fix: `chmod 0600 ${path}`,
        },
      ];
}

/** Whether a run can keep out of its sight what it leaves out. */
async function checkNamespace(signal: AbortSignal): Promise<Verdict> {
  const space = await openMountSpace([], signal);
  if (typeof space !== 'string') {
    await space.close();
    return 'runs get a mount namespace of their own';
  }
  return {
    state: 'warning',
    what: 'runs get no mount namespace of their own',
    why: `a mount that hangs can hold a run up, though it is left out: ${space}`,
    fix: 'run it as root; in a container, give that CAP_SYS_ADMIN',
  };
}

/** Nothing is started: what can be seen from outside. */
async function checkHooks(paths: ClientPaths): Promise<Verdict[]> {
  const findings = await findingsOfHooks(await loadClientConfig(paths), paths);
  return findings.map(({ what, why, fix, isPassedOver }) => ({
    state: isPassedOver ? 'warning' : 'failure',
    what,
    why,
    fix,
  }));
}

/** Whoever can write here decides what a run sends, and what it starts. */
async function whoElseCanWrite(path: string): Promise<Verdict[]> {
  try {
    const { mode, uid } = await stat(path);
    const ownUid = process.getuid?.();
    if ((mode & 0o022) === 0 && (uid === 0 || uid === ownUid)) return [];
    const fix = uid === 0 || uid === ownUid ? `chmod go-w ${path}` : `chown root ${path}; chmod go-w ${path}`;
    return [
      {
        state: 'failure',
        what: `${path} can be written by others`,
        why: `user ${uid}, mode 0${(mode & 0o7777).toString(8)}`,
        fix,
      },
    ];
  } catch (error) {
    if (!isMissing(error)) throw error;
    return [];
  }
}

const setUpAgain = 'run byteback-setup-client again, with the same destination';

async function checkKey({ key }: ClientPaths): Promise<Verdict> {
  try {
    const { mode, uid } = await stat(key);
    if ((mode & 0o077) !== 0) {
      return {
        state: 'failure',
        what: `${key} can be read by others`,
        why: `its mode is 0${(mode & 0o777).toString(8)}, and ssh does not use such a key`,
        fix: `chmod 0600 ${key}; if somebody may have read it, revoke it on the server and set up again`,
      };
    }
    if (uid !== process.getuid?.()) {
      return {
        state: 'failure',
        what: `${key} is not yours`,
        why: `it belongs to user ${uid}`,
        fix: 'run it as that user',
      };
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
    return { state: 'failure', what: `${key} is missing`, fix: setUpAgain };
  }
  try {
    await stat(`${key}.pub`);
  } catch (error) {
    if (!isMissing(error)) throw error;
    return {
      state: 'warning',
      what: `${key}.pub is missing`,
      fix: `make it again: ssh-keygen -y -f ${key} > ${key}.pub`,
    };
  }
  return key;
}

async function checkPresent(path: string, why: string): Promise<Verdict> {
  try {
    const { size, mode } = await stat(path);
    if (size === 0) return { state: 'failure', what: `${path} is empty`, why, fix: setUpAgain };
    if ((mode & 0o022) !== 0)
      return { state: 'failure', what: `${path} can be written by others`, fix: `chmod go-w ${path}` };
    return path;
  } catch (error) {
    if (!isMissing(error)) throw error;
    return { state: 'failure', what: `${path} is missing`, why, fix: setUpAgain };
  }
}

/** Asks the server who it takes this client for. */
async function checkServer(paths: ClientPaths, signal: AbortSignal): Promise<Verdict> {
  const { destination } = await loadClientConfig(paths);
  const host = sshHost(parseDestination(destination));
  const connection = await openSsh({ host, configFile: paths.sshConfig }, { signal });
  try {
    const reply = await ask(connection, 'ping', undefined, PingReplySchema, { timeoutMs: 60_000, signal });
    if (reply.client === undefined) {
      return {
        state: 'failure',
        exit: 'refused',
        what: `${host} does not know this key as a client's`,
        fix: setUpAgain,
      };
    }
    if (reply.protocol !== protocolVersion) {
      return {
        state: 'failure',
        what: `${host} runs byteback ${reply.version}, which speaks protocol ${reply.protocol}, not ${protocolVersion}`,
        fix: 'install the same byteback on both',
      };
    }
    return `${host} answers: this is ${reply.client}, byteback ${reply.version}`;
  } finally {
    await connection.close();
  }
}

/** Tries with this client's own key what it must not be able to do. */
async function checkAttacks(paths: ClientPaths, signal: AbortSignal): Promise<Verdict[]> {
  const { destination } = await loadClientConfig(paths);
  const host = sshHost(parseDestination(destination));
  const attacks = selfAttacks(22);
  const got: Verdict[] = [];
  for (const attack of attacks) {
    signal.throwIfAborted();
    const found = whatItGot(await attemptSsh(['-F', paths.sshConfig, '-T'], host, attack));
    if (found === undefined) continue;
    const fix = 'tell the admin of the server: byteback doctor --prove shows it there too';
    got.push({ state: 'failure', exit: 'refused', what: `${host} gives a client ${attack.what}`, why: found, fix });
  }
  // A server that refuses everything, or is away, has proved nothing.
  if (got.length === 0) await checkServer(paths, signal);
  return got.length > 0 ? got : [`${host} refused all ${attacks.length} attacks`];
}

async function checkSchedule(paths: ClientPaths, clock: Clock): Promise<Verdict[]> {
  const status = await readOwnStatus(await loadClientConfig(paths), paths, clock);
  const { nextRun, lastRun, overdue } = status;
  const next: Verdict =
    nextRun === null
      ? {
          state: 'warning',
          what: 'nothing starts a run by itself',
          fix: `${setUpAgain}, or run byteback-backup yourself`,
        }
      : `the next run is started by ${nextRun.by}${nextRun.at === null ? '' : `, at ${nextRun.at}`}`;
  if (lastRun === null) return [next, { state: 'warning', what: 'no run yet', fix: 'byteback-backup --verbose' }];
  if (lastRun.status === 'failed') {
    const { what, why, fix = 'byteback-backup --verbose' } = lastRun.error ?? { what: 'without a reason' };
    return [
      next,
      { state: 'warning', what: `the last run failed: ${what}`, ...(why === undefined ? {} : { why }), fix },
    ];
  }
  const advice = resentAdvice(lastRun.resent ?? []);
  return overdue
    ? [
        next,
        ...advice,
        {
          state: 'warning',
          what: `the last snapshot was taken at ${lastRun.lastSnapshotAt}`,
          fix: 'byteback-backup --verbose',
        },
      ]
    : [next, ...advice, `the last run ended at ${lastRun.endedAt}: ${lastRun.status}`];
}

/** Compressed files cost their whole size with each run, here and on the server. */
function resentAdvice(resent: readonly Resent[]): Verdict[] {
  const [largest] = resent;
  if (largest === undefined) return [];
  const more = resent.length === 1 ? '' : `, and ${resent.length - 1} more`;
  return [
    {
      state: 'warning',
      what: `sent whole again, though little in it can have changed: ${largest.path}${more}`,
      why: 'a compressed file changes as a whole, so that each version takes its full size',
      fix: 'leave it uncompressed, as the store compresses by itself, or use gzip --rsyncable or zstd --rsyncable',
    },
  ];
}
