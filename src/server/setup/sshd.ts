import { mkdir, readFile, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import {
  effectiveSettings,
  makeHostKeys,
  reloadSshd,
  type SshdSettings,
  whyConfigurationBroken,
} from '../../system/sshd.ts';
import { admissionOf, differences, dropInText, includesDropIn, withInclude } from './sshd-drop-in.ts';
import { type Step, stepLine } from './step.ts';

const mainFile = '/etc/ssh/sshd_config';
const hostKey = '/etc/ssh/ssh_host_ed25519_key';
/** One from here, one from elsewhere: an admin's own `Match Address` may tell them apart. */
const addresses = ['127.0.0.1', '192.0.2.1'];

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}

async function requireSound(): Promise<void> {
  const why = await whyConfigurationBroken();
  if (why === undefined) return;
  throw new BytebackError('usage', {
    what: "sshd's configuration is broken",
    why,
    fix: 'correct it until this is silent: sshd -t',
  });
}

/** The drop-in as it must be on this machine. */
async function wantedDropIn(user: string, current: string): Promise<string> {
  const effective = await effectiveSettings(user, '127.0.0.1');
  const { allowUsers, allowGroups, deniedBy } = admissionOf(effective, user);
  if (deniedBy !== undefined) {
    throw new BytebackError('refused', {
      what: `sshd does not let ${user} log in`,
      why: `${deniedBy} in sshd's configuration names it`,
      fix: `take ${user} out of ${deniedBy}, then run byteback-setup-server again`,
    });
  }
  // Once the drop-in lets the user in, sshd's own lists are no longer seen to leave it out.
  return dropInText(user, {
    allowUsers: allowUsers || /^\s*AllowUsers /m.test(current),
    allowGroups: allowGroups || /^\s*AllowGroups /m.test(current),
  });
}

async function hasHostKey(): Promise<boolean> {
  return stat(hostKey).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );
}

async function check(user: string): Promise<string | undefined> {
  if (!(await hasHostKey())) return "make sshd's host keys, and let it send the user to byteback";
  await requireSound();
  const current = await readOrEmpty(serverPaths.sshdDropIn);
  if (current !== (await wantedDropIn(user, current)))
    return `write ${serverPaths.sshdDropIn}: ${user} gets byteback-receive, and nothing else`;
  if (!includesDropIn(await readOrEmpty(mainFile), serverPaths.sshdDropIn))
    return `include ${serverPaths.sshdDropIn} at the top of ${mainFile}`;
  for (const address of addresses) requireEffect(user, address, await effectiveSettings(user, address));
  return undefined;
}

/** @throws BytebackError when something in the configuration of sshd wins over the drop-in. */
function requireEffect(user: string, address: string, effective: SshdSettings): void {
  const wrong = differences(effective);
  if (wrong.length === 0) return;
  throw new BytebackError('refused', {
    what: `sshd does not treat ${user} as it must`,
    why: `${wrong.join('; ')} (from ${address})`,
    fix: `a Match block that comes first wins; see them all: grep -rn Match /etc/ssh, and: sshd -T -C user=${user},host=${address},addr=${address}`,
  });
}

/** Writes a file that sshd reads; takes it back when sshd would not start with it, which would lock everybody out. */
async function writeChecked(path: string, text: string): Promise<void> {
  const former = await readFile(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  await writeFileAtomically(path, text, { mode: 0o644, uid: 0, gid: 0 });
  const why = await whyConfigurationBroken();
  if (why === undefined) return;
  if (former === undefined) await unlink(path);
  else await writeFileAtomically(path, former, { mode: 0o644, uid: 0, gid: 0 });
  throw new BytebackError('refused', {
    what: `sshd does not take ${path}; it is as it was`,
    why,
    fix: 'check the version of sshd: byteback needs 8.2',
  });
}

/** sshd that gives the user byteback-receive however it logs in, and nothing else. */
export function sshdStep(user: string, confirm: (question: string) => Promise<boolean>, log: Log): Step {
  return {
    title: 'sshd',
    check: () => check(user),
    act: async () => {
      if (!(await hasHostKey())) await makeHostKeys();
      await requireSound();
      await mkdir(dirname(serverPaths.sshdDropIn), { recursive: true, mode: 0o755 });
      const current = await readOrEmpty(serverPaths.sshdDropIn);
      const wanted = await wantedDropIn(user, current);
      if (current !== wanted) await writeChecked(serverPaths.sshdDropIn, wanted);
      const main = await readOrEmpty(mainFile);
      if (!includesDropIn(main, serverPaths.sshdDropIn)) {
        if (!(await confirm(`${mainFile} does not include ${serverPaths.sshdDropIn}. Add the line at its top?`))) {
          throw new BytebackError('refused', {
            what: "sshd does not read byteback's settings",
            why: `${mainFile} does not include them`,
            fix: `add as its first line: Include ${serverPaths.sshdDropIn}`,
          });
        }
        log.step(stepLine('', `adding an Include line at the top of ${mainFile}`));
        await writeChecked(mainFile, withInclude(main, serverPaths.sshdDropIn));
      }
      const reloaded = await reloadSshd(await effectiveSettings(user, '127.0.0.1'));
      log.step(
        stepLine(
          '',
          reloaded ? 'sshd reads it from now on' : 'no sshd runs here that could be told: start it before clients come',
        ),
      );
    },
  };
}
