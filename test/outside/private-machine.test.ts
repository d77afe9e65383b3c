import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command } from '../helpers/command.ts';
import { footprint } from '../helpers/footprint.ts';

const helper = join(import.meta.dirname, '../helpers/private-machine');

let shared: string;

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), 'byteback-outside-'));
});

afterAll(async () => {
  await rm(shared, { recursive: true });
});

/** Does to a machine all that setting up a server does, says so in the shared directory, and stays. */
const invasion = (mark: string) => `
  set -e
  useradd --system ${mark}
  mkdir -p /etc/sudoers.d && echo "${mark} ALL=(root) NOPASSWD: ALL" >/etc/sudoers.d/${mark}
  mkdir -p /etc/ssh/sshd_config.d && echo "# ${mark}" >/etc/ssh/sshd_config.d/${mark}.conf
  echo "# ${mark}" >>/etc/fstab
  mkdir /${mark} /usr/lib/${mark} && echo "${mark}" >/usr/bin/${mark}
  truncate -s 64M /var/${mark}.img && mkfs.ext4 -q /var/${mark}.img && mount -o loop /var/${mark}.img /${mark}
  losetup --list --noheadings --output BACK-FILE --raw >${shared}/loops
  (exec -a ${mark}-daemon sleep 1000) &
  touch ${shared}/ready
  exec sleep 1000
`;

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function ready(machine: ChildProcess): Promise<void> {
  while (!(await isThere(join(shared, 'ready')))) {
    if (machine.exitCode !== null) throw new Error(`the private machine ended with ${machine.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('a private machine', () => {
  it('leaves nothing behind, even after a kill -9 in the middle', async () => {
    const mark = `byteback-${process.pid}`;
    const before = await footprint();
    // bash, because only its exec names a process.
    const machine = spawn(helper, ['--share', shared, '--', 'bash', '-c', invasion(mark)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await ready(machine);
    expect(await readFile(join(shared, 'loops'), 'utf8')).toContain(mark);
    expect((await command(['pgrep', '-f', `${mark}-daemon`])).exitCode).toBe(0);

    machine.kill('SIGKILL');
    await once(machine, 'exit');

    // The kernel takes the namespaces down on its own time, within moments.
    await expect
      .poll(async () => (await command(['losetup', '--list', '--noheadings', '--output', 'BACK-FILE'])).stdout, {
        timeout: 10_000,
      })
      .not.toContain(mark);
    await expect.poll(async () => (await command(['pgrep', '-f', `${mark}-daemon`])).exitCode).toBe(1);
    expect(await footprint()).toBe(before);
  });

  it('passes on how its command ended', async () => {
    expect(await command([helper, '--', 'sh', '-c', 'exit 7'])).toExitWith(7);
  });

  it('says what is wrong with its arguments', async () => {
    expect(await command([helper, '--share', '/no/such'])).toMatchObject({
      exitCode: 2,
      stderr: 'private-machine: no directory /no/such to share\n',
    });
    expect(await command([helper])).toMatchObject({ exitCode: 2, stderr: 'private-machine: no command given\n' });
  });
});
