import { appendFile, chmod, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

/**
 * A server and a client made by the words of the original byteback's README, with backups made by its ways, and taken over:
 * nothing is renamed or moved by hand.
 */
let machine: InstalledMachine;
let web1: TestClient;
let source: string;
let loop: string;
const snapshots = ['2015-01-30T10:20+0000', '2015-02-01T03:00+0100', '2015-02-02T03:00+0100'];

/** Each of another size: rsync takes what has the same size and the same second for the same. */
const contentOf = (at: number) => `of ${snapshots[at]}${'!'.repeat(at)}\n`;

const shell = (script: string) => must(['bash', '-ec', script]);

/** What the original's client ran, but for ssh: rsync as the user byteback, with --fake-super on the receiving side. */
async function originalBackup(snapshot: string): Promise<void> {
  await must([
    ...['rsync', '--archive', '--numeric-ids', '--delete-excluded', '--delete-during', '--inplace', '--relative'],
    ...['--rsh', join(machine.scratch, 'as-byteback'), '--rsync-path', 'rsync --fake-super'],
    ...[source, 'there:/byteback/web1/current'],
  ]);
  await shell(`cd /byteback/web1 && sudo btrfs subvolume snapshot -r current '${snapshot}'`);
}

beforeAll(async () => {
  machine = await installedMachine({ server: false });
  await writeFile(machine.image, '');
  await truncate(machine.image, 1024 ** 3);
  loop = (await must(['losetup', '--find', '--show', machine.image])).stdout.trim();
  // "Setting up: server", to the letter; a loop device takes the place of the logical volume.
  await shell(`
adduser --system byteback --home /byteback --shell /bin/bash
cat <<SUDOERS >/etc/sudoers.d/byteback
byteback ALL = (root) NOPASSWD: /usr/local/bin/byteback-snapshot
byteback ALL = (root) NOPASSWD: /usr/bin/byteback-snapshot
byteback ALL = (root) NOPASSWD: /sbin/btrfs subvolume create
byteback ALL = (root) NOPASSWD: /sbin/btrfs subvolume delete /byteback/*
Defaults:byteback !requiretty
SUDOERS
chmod 0644 /etc/sudoers.d/byteback
mkfs.btrfs -q ${loop}
echo '${loop} /byteback btrfs compress 0 0' >>/etc/fstab
mount /byteback
chown byteback: /byteback
echo 'PermitUserEnvironment yes' >>/etc/ssh/sshd_config`);
  // byteback-setup-client, and byteback-setup-client-receive on the server.
  web1 = machine.clientToBe('web1');
  await mkdir(web1.configDir, { recursive: true });
  await must([
    'ssh-keygen',
    '-q',
    '-t',
    'rsa',
    '-C',
    'byteback client key',
    '-N',
    '',
    '-f',
    join(web1.configDir, 'key'),
  ]);
  await writeFile(join(web1.configDir, 'destination'), 'byteback@127.0.0.1:');
  await writeFile(join(web1.configDir, 'excludes'), '*.left-out\n');
  const key = (await readFile(join(web1.configDir, 'key.pub'), 'utf8')).trim();
  const options = 'command="byteback-receive",from="127.0.0.1",environment="BYTEBACK_HOST=web1"';
  await shell(`
su byteback -s /bin/sh -c 'cd && mkdir -p web1 .ssh && btrfs subvolume create web1/current'
echo '${options} ${key}' >/byteback/.ssh/authorized_keys
echo 'ssh-ed25519 ${'A'.repeat(68)} the admin' >>/byteback/.ssh/authorized_keys
chown byteback: /byteback/.ssh/authorized_keys`);

  await writeFile(join(machine.scratch, 'as-byteback'), '#!/bin/sh\nshift\nexec su byteback -s /bin/sh -c "$*"\n');
  await chmod(join(machine.scratch, 'as-byteback'), 0o755);
  await must(['chmod', '0755', machine.scratch]);
  source = join(machine.disk, 'tree');
  await mkdir(source);
  await must(['chown', '1234:2345', source]);
  for (const [at, snapshot] of snapshots.entries()) {
    await writeFile(join(source, 'file'), contentOf(at));
    await must(['chown', '1234:2345', join(source, 'file')]);
    await originalBackup(snapshot);
  }
}, 120_000);

afterAll(async () => {
  await shell("sed -i '/^PermitUserEnvironment/d' /etc/ssh/sshd_config");
  await machine?.dispose();
  if (loop !== undefined) await command(['losetup', '-d', loop]);
});

it('names each difference before anything is changed, and waits for what the original still does', async () => {
  const dry = await command(['byteback-setup-server', '--store', '/byteback', '--dry-run']);
  expect(dry).toExitWith(0);
  for (const words of [
    "take over the original's user byteback",
    'shell /bin/sh instead of /bin/bash',
    'remount /byteback with noatime, nosuid, nodev, noexec',
    'give /byteback, and /byteback/web1 to root',
    "the keys of the original's clients: web1",
    '/etc/sudoers.d/byteback',
  ]) {
    expect(dry.stderr.replaceAll(/\s+/g, ' ')).toContain(words);
  }
  expect((await must(['stat', '-c', '%U', '/byteback'])).stdout).toBe('byteback\n');

  // A backup that goes on would have its user changed under it.
  const { spawn } = await import('node:child_process');
  const busy = spawn('su', ['byteback', '-s', '/bin/sh', '-c', 'exec sleep 600'], { stdio: 'ignore' });
  try {
    await shell('for i in $(seq 100); do pgrep -u byteback -x sleep >/dev/null && exit 0; sleep 0.1; done; exit 1');
    const refused = await command(['byteback-setup-server', '--store', '/byteback', '--yes']);
    expect(refused).toMatchObject({ exitCode: 12, stderr: expect.stringMatching(/still at work[\s\S]*\(sleep\)/) });
  } finally {
    await command(['pkill', '-u', 'byteback', '-x', 'sleep']);
    busy.kill();
  }
});

it('is taken over by one command', async () => {
  const set = await command([
    'byteback-setup-server',
    '--store',
    '/byteback',
    '--admin-key',
    `${machine.adminKey}.pub`,
  ]);
  expect(set).toExitWith(0);
  expect(set.stderr).toContain('/byteback/.ssh/authorized_keys:2 is not taken over');
  expect((await must(['id', '-gn', 'byteback'])).stdout).toBe('byteback\n');
  expect((await must(['stat', '-c', '%U:%G %a', '/byteback'])).stdout).toBe('root:root 755\n');
  expect((await must(['stat', '-c', '%a', '/etc/sudoers.d/byteback'])).stdout).toBe('440\n');
  expect((await must(['grep', '-c', '/byteback btrfs', '/etc/fstab'])).stdout).toBe('1\n');
  expect(await readFile('/etc/byteback/server.toml', 'utf8')).toContain('[client."web1"]\nfrom = ["127.0.0.1"]');
  expect(await command(['byteback-setup-server', '--store', '/byteback'])).toExitWith(0);
  const doctor = await command(['byteback', 'doctor']);
  expect(doctor.stdout).not.toMatch(/^.*(?:not done|not as it must be).*$/m);
});

it.each([
  ['moves a client away', 'mv /byteback/web1 /byteback/stolen'],
  ['moves all clients away', 'cd /byteback && mv clients stolen'],
  ['moves a snapshot away', `mv '/byteback/web1/${snapshots[0]}' /byteback/web1/stolen`],
  ['makes a snapshot writable', `btrfs property set -ts '/byteback/web1/${snapshots[0]}' ro false`],
  ['deletes by the old rule of sudo', `sudo -n /sbin/btrfs subvolume delete '/byteback/web1/${snapshots[0]}'`],
])('nobody who is the user byteback %s', async (_, script) => {
  expect((await command(['su', 'byteback', '-s', '/bin/sh', '-c', script])).exitCode).not.toBe(0);
  expect(await readFile(join('/byteback/web1', snapshots[0] ?? '', source, 'file'), 'utf8')).toBe(contentOf(0));
});

it.each([
  'byteback-receive --ping --verbose',
  'byteback-receive --list --snapshot * /etc/fstab',
  'rsync --fake-super --server -logDtprRe.iLsfxC --inplace --numeric-ids . ',
])('tells a client of the original in words what to do: %s', async (words) => {
  const answer = await command([
    ...[
      'ssh',
      '-F',
      'none',
      '-o',
      'BatchMode=yes',
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
    ],
    ...['-i', join(web1.configDir, 'key'), '-p', String(machine.port), 'byteback@127.0.0.1', words],
  ]);
  expect(answer.exitCode).not.toBe(0);
  expect(answer.stderr).toMatch(/is a command of the original byteback.*byteback-setup-client --destination/);
});

it('takes the client over by one command, with its key and its files', async () => {
  const set = await web1.run(
    ...['byteback-setup-client', '--destination', 'byteback@127.0.0.1:', '--port', String(machine.port)],
    ...['--hostname', 'web1', '--accept-new', '--no-timer', '--source', source, '--json'],
  );
  expect(set).toExitWith(0);
  expect(JSON.parse(set.stdout)).toMatchObject({ client: 'web1', registered: 'already' });
  await writeFile(join(source, 'a.left-out'), 'x\n');
  await writeFile(join(source, 'file'), 'new\n');
  expect(await web1.run('byteback-backup')).toExitWith(0);
  const [taken = ''] = await machine.snapshots('web1');
  const place = join(web1.place, 'snapshots', taken, 'fs', source);
  expect(await readFile(join(place, 'file'), 'utf8')).toBe('new\n');
  expect((await command(['test', '-e', join(place, 'a.left-out')])).exitCode).toBe(1);
});

it('lists, holds, restores and prunes the old snapshots', async () => {
  const list = await must(['byteback-prune', '--list']);
  for (const name of snapshots) expect(list.stdout).toContain(name);
  // As docs/upgrade.md says it.
  const back = join(machine.disk, 'back');
  const old = join('/byteback/web1', snapshots[1] ?? '', source);
  await must(['rsync', '-aHAX', '--numeric-ids', '-M--fake-super', `${old}/`, `${back}/`]);
  expect(await readFile(join(back, 'file'), 'utf8')).toBe(contentOf(1));
  expect(await must(['byteback', 'hold', 'web1', snapshots[0] ?? ''])).toExitWith(0);
  await appendFile('/etc/byteback/server.toml', '\n[default]\nmax_age = "400d"\n[prune]\nkeep_last = 1\n');
  await must(['byteback-prune', '--confirm']);
  const after = await must(['byteback-prune', '--list']);
  expect(after.stdout).toContain(snapshots[0]);
  expect(after.stdout).not.toContain(snapshots[1]);
});
