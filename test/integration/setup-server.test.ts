import { createHash } from 'node:crypto';
import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { command, must, type Outcome } from '../helpers/command.ts';
import { serverIsQuiet } from '../helpers/server-state.ts';

// byteback-setup-server against real disks, a real sshd configuration and a real sudo. Every test begins on a machine
// on which nothing is set up, and leaves it so.

const scratch = '/var/tmp/byteback-setup-test';
const image = `${scratch}/store.img`;
const mainFile = '/etc/ssh/sshd_config';
const dropIn = '/etc/ssh/sshd_config.d/byteback.conf';
/** What set-up writes outside the store. */
const written = [
  '/etc/fstab',
  '/etc/passwd',
  '/etc/shadow',
  '/etc/group',
  mainFile,
  dropIn,
  '/etc/sudoers.d/byteback',
  '/etc/cron.d/byteback-prune',
  '/etc/cron.d/byteback-report',
  '/etc/byteback/server.toml',
  '/etc/byteback/authorized_keys',
];
const saved = ['/etc/fstab', mainFile, '/etc/sudoers'];

/** What follows the run that set-up proves itself with may look at the store for a moment longer. */
/** Helpers of a set-up, and what sends its mails, may be at work there for a moment longer. */
async function unmount(directory: string): Promise<void> {
  for (let i = 0; ; i += 1) {
    const { exitCode, stderr } = await command(['umount', directory]);
    if (exitCode === 0) return;
    if (i > 100) throw new Error(stderr);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function unmountStore(): Promise<void> {
  await serverIsQuiet();
  await unmount('/byteback');
}

async function forgetServer(): Promise<void> {
  for (const directory of ['/byteback', '/elsewhere']) {
    while ((await command(['mountpoint', '-q', directory])).exitCode === 0) await unmount(directory);
    await rm(directory, { recursive: true, force: true });
  }
  if ((await command(['id', 'byteback'])).exitCode === 0) await command(['userdel', 'byteback']);
  const paths = [
    '/etc/byteback',
    '/etc/sudoers.d/byteback',
    '/etc/cron.d/byteback-prune',
    '/etc/cron.d/byteback-report',
  ];
  for (const path of [...paths, '/var/spool/byteback']) await rm(path, { recursive: true, force: true });
  for (const name of ['byteback', '00-test']) await rm(`/etc/ssh/sshd_config.d/${name}.conf`, { force: true });
  for (const path of saved) await copyFile(`${scratch}/saved${path.replaceAll('/', '_')}`, path);
  for (const device of loopDevices.splice(0)) await must(['losetup', '-d', device]);
  await rm(image, { force: true });
}

const loopDevices: string[] = [];

/** A disk of 300 MB: a loop device over a file that is filled by the test. */
async function diskWith(
  fill: (file: string) => Promise<unknown>,
): Promise<{ device: string; file: string; sum(): Promise<string> }> {
  const file = `${scratch}/disk${loopDevices.length}.img`;
  await writeFile(file, '');
  await truncate(file, 300 * 1024 * 1024);
  await fill(file);
  const device = (await must(['losetup', '--find', '--show', file])).stdout.trim();
  loopDevices.push(device);
  return { device, file, sum: async () => (await must(['sha256sum', '--', file])).stdout };
}

async function writeAt(file: string, position: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write(bytes, 0, bytes.length, position);
  await handle.close();
}

const setup = (...args: string[]): Promise<Outcome> => command(['byteback-setup-server', ...args]);
const setupImage = (...args: string[]): Promise<Outcome> => setup('--image', image, '--size', '300M', '--yes', ...args);

/** Content, owner, mode and time of all that set-up writes outside the store. */
async function state(): Promise<string> {
  const parts: string[] = [];
  for (const path of written) {
    const about = (await command(['stat', '-c', '%n %a %u:%g %Y', '--', path])).stdout;
    const content = await readFile(path).catch(() => Buffer.alloc(0));
    parts.push(`${about.trim()} ${createHash('sha256').update(content).digest('hex')}`);
  }
  return parts.join('\n');
}

beforeAll(async () => {
  await mkdir(scratch, { recursive: true });
  for (const path of saved) await copyFile(path, `${scratch}/saved${path.replaceAll('/', '_')}`).catch(() => undefined);
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', `${scratch}/admin`]);
  await mkdir('/run/sshd', { recursive: true });
});
beforeEach(forgetServer);
afterEach(forgetServer);
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

describe('on an image file', () => {
  it('sets all of it up, says so, and proves it', async () => {
    const outcome = await setupImage('--admin-key', `${scratch}/admin.pub`);
    expect(outcome).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('The server works: store /byteback, user byteback.'),
    });
    expect(outcome.stderr).toMatch(
      /file system {2}make the image [\s\S]*mount[\s\S]*the sandbox holds: ok[\s\S]*all of it is deleted again/,
    );
    expect(outcome.stderr.split('\n').every((line) => line.length <= 80)).toBe(true);
    const options = (await must(['findmnt', '-no', 'OPTIONS', '/byteback'])).stdout;
    for (const option of ['noatime', 'nosuid', 'nodev', 'noexec', 'compress-force=zstd:1'])
      expect(options).toContain(option);
    const rights = (
      await must([
        'stat',
        '-c',
        '%n %a %U:%G',
        '/byteback',
        '/byteback/.byteback',
        '/byteback/clients',
        '/etc/byteback/authorized_keys',
      ])
    ).stdout;
    expect(rights.split('\n')).toEqual([
      '/byteback 755 root:root',
      '/byteback/.byteback 700 root:root',
      '/byteback/clients 755 root:root',
      '/etc/byteback/authorized_keys 644 root:root',
      '',
    ]);
    expect((await must(['getent', 'passwd', 'byteback'])).stdout).toMatch(/:\/usr\/lib\/byteback\/home:\/bin\/sh\n$/);
    expect((await must(['getent', 'shadow', 'byteback'])).stdout).toMatch(/^byteback:\*:/);
    expect((await must(['ls', '-A', '/byteback/clients', '/usr/lib/byteback/home'])).stdout).toBe(
      '/byteback/clients:\n\n/usr/lib/byteback/home:\n',
    );
    expect(await readFile('/etc/byteback/authorized_keys', 'utf8')).toMatch(/ssh-ed25519 \S+ admin:admin\n$/);
  });

  it('changes nothing the second time, whether the same is asked for or nothing', async () => {
    await setupImage('--admin-key', `${scratch}/admin.pub`);
    const before = await state();
    for (const args of [
      [],
      ['--image', image, '--size', '300M', '--admin-key', `${scratch}/admin.pub`, '--store', '/byteback'],
    ]) {
      expect(await setup(...args)).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining('Nothing had to be changed'),
      });
      expect(await state()).toBe(before);
    }
  });

  it('does nothing in a dry run', async () => {
    const before = await state();
    expect(await setupImage('--dry-run')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^\d+ of these steps would be taken/),
    });
    expect(await state()).toBe(before);
    expect((await command(['ls', image, '/byteback'])).stdout).toBe('');
  });

  it('gives one JSON object', async () => {
    const { stdout } = await setupImage('--json');
    expect(JSON.parse(stdout)).toEqual({
      store: '/byteback',
      user: 'byteback',
      changed: expect.any(Number),
      dryRun: false,
      proven: true,
    });
  });

  it('mounts it again where it was lost, and keeps what it holds', async () => {
    await setupImage();
    await writeFile('/byteback/.byteback/kept', 'kept');
    await unmountStore();
    await copyFile(`${scratch}/saved_etc_fstab`, '/etc/fstab');
    expect(await setupImage()).toExitWith(0);
    expect(await readFile('/byteback/.byteback/kept', 'utf8')).toBe('kept');
    await unmountStore();
    // fstab alone is enough to find it.
    expect(await setup()).toExitWith(0);
    expect(await readFile('/byteback/.byteback/kept', 'utf8')).toBe('kept');
  });

  it.each([250, 700, 1200])('goes on where it was killed after %i ms', async (ms) => {
    const argv = [
      'timeout',
      '--signal',
      'KILL',
      `${ms / 1000}`,
      'byteback-setup-server',
      '--image',
      image,
      '--size',
      '300M',
      '--yes',
    ];
    await command(argv);
    expect(await setupImage()).toExitWith(0);
    expect((await must(['ls', '-A', '/byteback/clients'])).stdout).toBe('');
    expect((await must(['ls', '-A', scratch])).stdout).not.toContain('begun');
    expect(await setup()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Nothing had to be changed') });
  });

  it('works with a strict umask and without sbin in PATH', async () => {
    const argv = [
      'sh',
      '-c',
      'umask 077; PATH=/usr/bin:/bin exec byteback-setup-server "$@"',
      'sh',
      '--image',
      image,
      '--size',
      '300M',
      '--yes',
    ];
    expect(await command(argv)).toExitWith(0);
    expect(
      (await must(['stat', '-c', '%a', '/etc/byteback', '/etc/byteback/authorized_keys', '/byteback'])).stdout,
    ).toBe('755\n644\n755\n');
  });

  it.each([
    ['no size for a new image', ['--image', image], 2],
    ['a size that is too small', ['--image', image, '--size', '10M'], 2],
    ['an image larger than the disk', ['--image', image, '--size', '100T'], 12],
    ['a relative image', ['--image', 'store.img', '--size', '300M'], 2],
    ['an image in a directory that does not exist', ['--image', '/nowhere/store.img', '--size', '300M'], 2],
    ['a directory as image', ['--image', scratch, '--size', '300M'], 2],
    ['image and device', ['--image', image, '--device', '/dev/null'], 2],
    ['size without image', ['--size', '300M'], 2],
    ['a store that is a system directory', ['--image', image, '--size', '300M', '--store', '/usr'], 2],
    ['a store with a space', ['--image', image, '--size', '300M', '--store', '/my store'], 2],
    ['a store with dots', ['--image', image, '--size', '300M', '--store', '/srv/../byteback'], 2],
    ['the user root', ['--image', image, '--size', '300M', '--user', 'root'], 12],
    ['a user with a newline', ['--image', image, '--size', '300M', '--user', 'a\nb ALL=(ALL) NOPASSWD: ALL'], 2],
    ['an admin key that is none', ['--image', image, '--size', '300M', '--admin-key', '/etc/passwd'], 12],
    ['an admin key that is private', ['--image', image, '--size', '300M', '--admin-key', `${scratch}/admin`], 12],
    ['an admin key that does not exist', ['--image', image, '--size', '300M', '--admin-key', '/nowhere'], 2],
    ['a character device', ['--device', '/dev/null'], 2],
  ])('refuses %s, and makes nothing', async (_what, args, exitCode) => {
    const before = await state();
    const outcome = await setup(...args, '--yes');
    expect(outcome).toMatchObject({ exitCode, stdout: '', stderr: expect.stringMatching(/^byteback-setup-server: /m) });
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
    expect(await state()).toBe(before);
    expect((await command(['ls', image])).exitCode).not.toBe(0);
  });

  it('refuses an image that others can write, and a store directory that holds files', async () => {
    await writeFile(image, '');
    await chmod(image, 0o666);
    expect(await setupImage()).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('others than root can write'),
    });
    await rm(image);
    await mkdir('/byteback');
    await writeFile('/byteback/precious', 'precious');
    expect(await setupImage()).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('/byteback is not empty'),
    });
    expect(await readFile('/byteback/precious', 'utf8')).toBe('precious');
  });
});

describe('on a disk', () => {
  it('formats one that is empty, and names it by its UUID in fstab', async () => {
    const disk = await diskWith(async () => undefined);
    expect(await setup('--device', disk.device, '--yes')).toExitWith(0);
    expect(await readFile('/etc/fstab', 'utf8')).toMatch(
      /^UUID=[0-9a-f-]{36} \/byteback btrfs noatime,nosuid,nodev,noexec,compress-force=zstd:1,nofail 0 0$/m,
    );
    expect(await setup('--device', disk.device)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('Nothing had to be changed'),
    });
  });

  it('asks before it formats: without a terminal and --yes it does not', async () => {
    const disk = await diskWith(async () => undefined);
    const before = await disk.sum();
    expect(await setup('--device', disk.device)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--yes'),
    });
    expect(await disk.sum()).toBe(before);
  });

  const partitionTable = Buffer.alloc(512);
  partitionTable.set([0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 4, 0], 446);
  partitionTable.set([0x55, 0xaa], 510);
  it.each<[string, (file: string) => Promise<unknown>]>([
    ['ext4', (file) => must(['mkfs.ext4', '-q', '-F', file])],
    ['swap', (file) => must(['mkswap', file])],
    ['a partition table', (file) => writeAt(file, 0, partitionTable)],
    ['data of an unknown kind at its start', (file) => writeAt(file, 5_000_000, Buffer.from('data'))],
    [
      'data of an unknown kind in its middle',
      (file) => writeAt(file, 100 * 1024 * 1024, Buffer.alloc(2 * 1024 * 1024, 7)),
    ],
    ['data of an unknown kind at its end', (file) => writeAt(file, 300 * 1024 * 1024 - 1, Buffer.from('x'))],
  ])('never formats one with %s unless forced', async (_what, fill) => {
    const disk = await diskWith(fill);
    const before = await disk.sum();
    expect(await setup('--device', disk.device, '--yes')).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('--force'),
    });
    expect(await disk.sum()).toBe(before);
  });

  it('formats one that holds data when it is forced', async () => {
    const disk = await diskWith((file) => must(['mkfs.ext4', '-q', '-F', file]));
    expect(await setup('--device', disk.device, '--yes', '--force')).toExitWith(0);
  });

  it('never formats one that is in use, forced or not', async () => {
    const disk = await diskWith((file) => must(['mkfs.ext4', '-q', '-F', file]));
    await mkdir('/elsewhere');
    await must(['mount', disk.device, '/elsewhere']);
    await writeFile('/elsewhere/file', 'precious');
    expect(await setup('--device', disk.device, '--yes', '--force')).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('in use'),
    });
    expect(await readFile('/elsewhere/file', 'utf8')).toBe('precious');
  });

  it('uses a btrfs that is there as it is', async () => {
    const disk = await diskWith((file) => must(['mkfs.btrfs', '-q', file]));
    await mkdir('/elsewhere');
    await must(['mount', disk.device, '/elsewhere']);
    await writeFile('/elsewhere/file', 'precious');
    await must(['umount', '/elsewhere']);
    expect(await setup('--device', disk.device, '--force', '--yes')).toExitWith(0);
    expect(await readFile('/byteback/file', 'utf8')).toBe('precious');
  });
});

describe('on what is mounted already', () => {
  it('uses a subvolume, adds the options that it lacks, and writes it into fstab', async () => {
    const disk = await diskWith((file) => must(['mkfs.btrfs', '-q', file]));
    await mkdir('/elsewhere');
    await mkdir('/byteback');
    await must(['mount', disk.device, '/elsewhere']);
    await must(['btrfs', 'subvolume', 'create', '/elsewhere/store']);
    await must(['mount', '-o', 'subvol=store', disk.device, '/byteback']);
    expect(await setup('--yes')).toExitWith(0);
    expect((await must(['findmnt', '-no', 'OPTIONS', '/byteback'])).stdout).toMatch(
      /nosuid,nodev,noexec,noatime,compress-force=zstd:1/,
    );
    const fstab = await readFile('/etc/fstab', 'utf8');
    expect(fstab).toMatch(
      /^UUID=\S+ \/byteback btrfs subvol=\/store,noatime,nosuid,nodev,noexec,compress-force=zstd:1,nofail 0 0$/m,
    );
    await unmountStore();
    await must(['mount', '/byteback']);
    expect(await setup()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Nothing had to be changed') });
  });

  it('gives the store of an earlier version its compression, mounted and in fstab', async () => {
    expect(await setup('--device', (await diskWith(async () => undefined)).device, '--yes')).toExitWith(0);
    const wanted = await readFile('/etc/fstab', 'utf8');
    expect(wanted).toContain('compress-force=zstd:1');
    await writeFile('/etc/fstab', wanted.replace('compress-force=', 'compress='));
    await must(['mount', '-o', 'remount,compress=zstd:1', '/byteback']);
    expect(await setup('--yes')).toExitWith(0);
    const options = (await must(['findmnt', '-no', 'OPTIONS', '/byteback'])).stdout;
    expect(options).toMatch(/\bcompress-force=zstd:1\b/);
    const fstab = await readFile('/etc/fstab', 'utf8');
    expect(fstab).toMatch(/\bnoexec,nofail,compress-force=zstd:1 0 0$/m);
    expect(fstab).not.toContain('compress=zstd:1');
    expect(await setup()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Nothing had to be changed') });
  });

  it("keeps an admin's own entry in fstab, with what it lacks added", async () => {
    const disk = await diskWith((file) => must(['mkfs.btrfs', '-q', '-L', 'mine', file]));
    await mkdir('/byteback');
    await appendFile('/etc/fstab', `${disk.device} /byteback btrfs defaults,compress=zstd:9,noexec 0 0\n# last line\n`);
    await must(['mount', '/byteback']);
    expect(await setup('--yes')).toExitWith(0);
    const fstab = await readFile('/etc/fstab', 'utf8');
    expect(fstab).toContain(
      `${disk.device} /byteback btrfs compress=zstd:9,noexec,noatime,nosuid,nodev 0 0\n# last line\n`,
    );
  });

  it.each([
    ['another file system', 'ext4', 'defaults', 14],
    ['a btrfs on which users may delete snapshots', 'btrfs', 'user_subvol_rm_allowed', 12],
    ['a btrfs that is read-only', 'btrfs', 'ro', 12],
  ])('refuses %s', async (_what, type, options, exitCode) => {
    const disk = await diskWith((file) =>
      must(type === 'btrfs' ? ['mkfs.btrfs', '-q', file] : ['mkfs.ext4', '-q', file]),
    );
    await mkdir('/byteback');
    await must(['mount', '-o', options, disk.device, '/byteback']);
    expect(await setup('--yes')).toMatchObject({ exitCode });
    expect(await readFile('/etc/fstab', 'utf8')).not.toContain('/byteback');
  });

  it('refuses a store where nothing is mounted, and another disk than the one that is', async () => {
    expect(await setup('--yes')).toMatchObject({ exitCode: 14, stderr: expect.stringContaining('--device') });
    await mkdir('/byteback');
    expect(await setup('--yes')).toExitWith(14);
    expect(await setupImage()).toExitWith(0);
    const disk = await diskWith(async () => undefined);
    expect(await setup('--device', disk.device, '--yes')).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('something else is mounted'),
    });
  });
});

describe('the user', () => {
  it.each([
    ['with a home and a shell of its own', ['--home-dir', '/home/byteback', '--shell', '/bin/bash']],
    ['in another group', ['--home-dir', '/usr/lib/byteback/home', '--shell', '/bin/sh', '--groups', 'disk']],
  ])('that exists %s is not touched', async (_what, options) => {
    await must(['useradd', '--user-group', ...options, 'byteback']);
    const before = await must(['getent', 'passwd', 'byteback']);
    expect(await setupImage()).toMatchObject({ exitCode: 12, stderr: expect.stringContaining("is not byteback's") });
    expect(await must(['getent', 'passwd', 'byteback'])).toEqual(before);
  });

  it('may have another name, and one server has one', async () => {
    try {
      expect(await setupImage('--user', 'vault')).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining('user vault'),
      });
      expect(await readFile(dropIn, 'utf8')).toContain('Match User vault');
      expect(await setup()).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining('Nothing had to be changed'),
      });
      expect(await setup('--user', 'byteback')).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining('set up as a server already'),
      });
    } finally {
      await must(['userdel', 'vault']);
    }
  });

  it('is refused to anybody but root', async () => {
    const outcome = await command(['setpriv', '--reuid', 'nobody', '--clear-groups', 'byteback-setup-server', '--yes']);
    expect(outcome).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('sudo') });
  });
});

describe('sshd', () => {
  const effective = async (): Promise<string> =>
    (await must(['sshd', '-T', '-C', 'user=byteback,host=h,addr=192.0.2.7'])).stdout;

  it('whose main file includes no drop-ins is told to, if the person agrees', async () => {
    const main = (await readFile(mainFile, 'utf8')).replace(/^Include .*$/m, '');
    await writeFile(mainFile, main);
    expect(await setup('--image', image, '--size', '300M')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--yes'),
    });
    expect(await readFile(mainFile, 'utf8')).toBe(main);
    expect(await setupImage()).toExitWith(0);
    expect(await readFile(mainFile, 'utf8')).toMatch(new RegExp(`^# .*\nInclude ${dropIn}\n`));
    expect(await effective()).toContain('forcecommand /usr/lib/byteback/byteback-receive\n');
    expect(await setup()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Nothing had to be changed') });
  });

  it('that lets only some users or groups in lets byteback in, and still nobody else', async () => {
    await appendFile(mainFile, 'AllowUsers ops@192.0.2.* root\nAllowGroups root\n');
    expect(await setupImage()).toExitWith(0);
    expect(await effective()).toMatch(/^allowusers byteback$/m);
    expect(await effective()).toMatch(/^allowgroups byteback$/m);
    expect((await must(['sshd', '-T', '-C', 'user=other,host=h,addr=192.0.2.7'])).stdout).not.toContain('byteback');
    expect(await setup()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Nothing had to be changed') });
  });

  it.each([
    ['that denies the user', 'DenyUsers byte*\n', 'DenyUsers'],
    ['with a Match block that comes first', 'Match User *\n  ForceCommand /bin/bash\n', 'ForceCommand is /bin/bash'],
    ['with a Match block for other addresses', 'Match Address 192.0.2.0/24\n  PermitTTY yes\n', 'PermitTTY is yes'],
    ['that is broken', 'NoSuchKeyword yes\n', 'broken'],
  ])('%s is not accepted', async (_what, text, expected) => {
    await writeFile('/etc/ssh/sshd_config.d/00-test.conf', text);
    const outcome = await setupImage();
    expect(outcome.exitCode).not.toBe(0);
    expect(outcome.stderr.replaceAll(/\s+/g, ' ')).toContain(expected);
  });

  it('that runs is told, and the proof logs in through it, once more than one file and list is in the way', async () => {
    await appendFile(mainFile, 'AllowUsers root\nListenAddress 127.0.0.1\n');
    await must(['/usr/sbin/sshd', '-p', '41922']);
    try {
      const outcome = await setupImage();
      expect(outcome.stderr).toContain('sshd reads it from now on');
      expect(outcome.stderr).toContain('it logs in by ssh, and gets no shell: ok');
      expect(outcome.exitCode).toBe(0);
      expect((await readFile('/etc/byteback/authorized_keys', 'utf8')).match(/client:/)).toBeNull();
      // sshd is not asked again when nothing has changed, and the proof still logs in.
      expect((await setup()).stderr).toMatch(/sshd +ok\n[\s\S]*gets no shell: ok/);
      // What only a real log-in finds out.
      await writeFile('/etc/nologin', 'closed\n');
      expect(await setup()).toMatchObject({
        exitCode: 12,
        stderr: expect.stringContaining('cannot log in at 127.0.0.1 port 41922'),
      });
      expect((await must(['ls', '/byteback/clients'])).stdout).toBe('');
    } finally {
      await rm('/etc/nologin', { force: true });
      process.kill(Number(await readFile('/run/sshd.pid', 'utf8')));
    }
  });

  it('that would not start with the drop-in keeps what it had', async () => {
    await rename('/usr/sbin/sshd', '/usr/sbin/sshd.real');
    try {
      await writeFile(
        '/usr/sbin/sshd',
        `#!/bin/sh\n[ "$1" = -t ] && [ -e ${dropIn} ] && { echo 'too old' >&2; exit 255; }\nexec /usr/sbin/sshd.real "$@"\n`,
      );
      await chmod('/usr/sbin/sshd', 0o755);
      const outcome = await setupImage();
      expect(outcome).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('too old') });
      await expect(stat(dropIn)).rejects.toThrow('ENOENT');
    } finally {
      await rename('/usr/sbin/sshd.real', '/usr/sbin/sshd');
    }
  });
});

describe('sudo', () => {
  it('that does not read its directory is found out by the proof', async () => {
    await writeFile('/etc/sudoers', 'root ALL=(ALL:ALL) ALL\n');
    const outcome = await setupImage();
    expect(outcome).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('@includedir /etc/sudoers.d') });
    expect((await must(['ls', '/byteback/clients'])).stdout).toBe('');
  });

  it('that allows the user more is found out by the proof', async () => {
    await appendFile('/etc/sudoers', '\nbyteback ALL=(ALL) NOPASSWD: ALL\n');
    expect(await setupImage()).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('may run more than the two helpers'),
    });
  });

  it('that is broken already is left alone', async () => {
    await writeFile('/etc/sudoers', 'nonsense\n');
    expect(await setupImage()).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("sudo's configuration is broken"),
    });
    await expect(stat('/etc/sudoers.d/byteback')).rejects.toThrow('ENOENT');
  });
});

describe('the sandbox', () => {
  it('that cannot be built is found out before anything is made', async () => {
    await rename('/usr/bin/bwrap', '/usr/bin/bwrap.real');
    try {
      await writeFile('/usr/bin/bwrap', "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n");
      await chmod('/usr/bin/bwrap', 0o755);
      const before = await state();
      expect(await setupImage()).toMatchObject({
        exitCode: 12,
        stderr: expect.stringContaining('why: bwrap: setting up uid map: Permission denied'),
      });
      expect(await state()).toBe(before);
    } finally {
      await rename('/usr/bin/bwrap.real', '/usr/bin/bwrap');
    }
  });

  it('that does not hold is found out by the proof', async () => {
    await rename('/usr/bin/bwrap', '/usr/bin/bwrap.real');
    try {
      // All as it was asked for, but without the filter of system calls.
      const body =
        'for word; do shift; case $word in --seccomp) skip=1;; *) [ -n "$skip" ] && skip= || set -- "$@" "$word";; esac; done';
      await writeFile('/usr/bin/bwrap', `#!/bin/sh\n${body}\nexec /usr/bin/bwrap.real "$@"\n`);
      await chmod('/usr/bin/bwrap', 0o755);
      const outcome = await setupImage();
      expect(outcome).toMatchObject({
        exitCode: 12,
        stderr: expect.stringContaining('no filter of system calls is active'),
      });
      expect((await must(['ls', '/byteback/clients'])).stdout).toBe('');
      expect(await readFile('/etc/byteback/authorized_keys', 'utf8')).not.toContain('client:');
    } finally {
      await rename('/usr/bin/bwrap.real', '/usr/bin/bwrap');
    }
  });
});

describe('programs that are missing', () => {
  it('are named with the command that installs them, and not installed without a yes', async () => {
    await rename('/usr/bin/bwrap', '/usr/bin/bwrap.real');
    try {
      const outcome = await setup('--image', image, '--size', '300M');
      expect(outcome).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('apt-get install bubblewrap') });
    } finally {
      await rename('/usr/bin/bwrap.real', '/usr/bin/bwrap');
    }
  });
});

describe('what sudo and sshd start', () => {
  it('must be nobody’s but root’s', async () => {
    await chmod('/usr/lib/byteback/snapshot.mjs', 0o666);
    try {
      expect(await setupImage()).toMatchObject({
        exitCode: 12,
        stderr: expect.stringContaining('snapshot.mjs cannot be trusted'),
      });
    } finally {
      await chmod('/usr/lib/byteback/snapshot.mjs', 0o644);
    }
  });
});
