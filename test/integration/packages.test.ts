import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';

const root = join(import.meta.dirname, '../..');

let machine: InstalledMachine;

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
});

afterAll(async () => {
  // The other tests need the packages.
  await must(['test/helpers/install-into-private-machine'], { cwd: root });
  await machine?.dispose();
});

async function installedFiles(): Promise<string[]> {
  const { stdout } = await must(['dpkg', '-L', 'byteback', 'byteback-runtime']);
  return stdout.split('\n').filter((line) => line.startsWith('/'));
}

describe('the installed packages', () => {
  it('hold only what is root’s and nobody else can write', async () => {
    for (const path of new Set(await installedFiles())) {
      const { stdout } = await must(['stat', '-c', '%U:%G %A', path]);
      expect(`${path} ${stdout.trim()}`).toMatch(/ root:root [dl-]r[w-][x-]r-[x-]r-[x-]$/);
    }
  });

  it('need no Node on the machine, and none of its settings', async () => {
    const code = join(machine.scratch, 'evil.cjs');
    await writeFile(code, 'process.stdout.write("evil")');
    const outcome = await command([
      '/usr/bin/env',
      '-i',
      'PATH=/usr/bin:/bin',
      `NODE_OPTIONS=--require ${code}`,
      'byteback',
      '--version',
    ]);
    expect(outcome).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^byteback \d/), stderr: '' });
  });

  it('have units that systemd understands', async () => {
    const units = (await installedFiles()).filter((path) => /\.(service|timer)$/.test(path));
    expect(units.map((unit) => unit.replace(/.*\//, '')).toSorted()).toEqual([
      'byteback-backup.service',
      'byteback-backup.timer',
      'byteback-prune.service',
      'byteback-prune.timer',
    ]);
    // Minimal machines have no man to look the pages up with.
    const { stdout, stderr } = await command(['systemd-analyze', 'verify', '--man=no', ...units]);
    expect(stdout + stderr).toBe('');
  });

  it('have no shell or argument between sshd or sudo and the helpers', async () => {
    for (const name of ['byteback-receive', 'byteback-snapshot', 'byteback-register']) {
      const text = await readFile(`/usr/lib/byteback/${name}`, 'utf8');
      expect(text).toMatch(/^exec \/usr\/bin\/env -i PATH=/m);
      expect(text).not.toContain('$@');
      expect(text).not.toContain('$*');
    }
  });

  it('are the same bytes when built again elsewhere', async () => {
    const hashes: Record<string, string>[] = [];
    for (const name of ['one', 'another place']) {
      const place = await mkdtemp(join(machine.scratch, `${name}-`));
      for (const part of [
        'packaging',
        'bin',
        'src',
        'sudoers',
        'systemd',
        'package.json',
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
      ]) {
        await cp(join(root, part), join(place, part), { recursive: true });
      }
      await symlink(join(root, 'node_modules'), join(place, 'node_modules'));
      await must(['packaging/make-packages'], { cwd: place, env: { SOURCE_DATE_EPOCH: '1700000000' } });
      const files = await readdir(join(place, 'dist'));
      expect(files).toHaveLength(2);
      hashes.push(
        Object.fromEntries(
          await Promise.all(
            files.map(async (file) => [
              file,
              createHash('sha256')
                .update(await readFile(join(place, 'dist', file)))
                .digest('hex'),
            ]),
          ),
        ),
      );
    }
    expect(hashes[0]).toEqual(hashes[1]);
  });

  it('keep the configuration and the store on remove, and only the store on purge', async () => {
    const client = await machine.client('web1');
    await mkdir(`${machine.disk}/tree`);
    await writeFile(`${machine.disk}/tree/file`, 'kept\n');
    expect(await client.run('byteback-backup', '--source', `${machine.disk}/tree`)).toExitWith(0);
    const [snapshot] = await machine.snapshots('web1');
    const kept = `${client.place}/snapshots/${snapshot}/fs${machine.disk}/tree/file`;
    const registry = await readFile('/etc/byteback/authorized_keys', 'utf8');

    await must(['apt-get', '-y', '-qq', 'remove', 'byteback', 'byteback-runtime']);
    expect(await command(['ls', '/usr/lib/byteback'])).toExitWith(2);
    expect(await readFile('/etc/byteback/authorized_keys', 'utf8')).toBe(registry);
    await must(['visudo', '--check']);
    await must(['sshd', '-t']);

    await must(['test/helpers/install-into-private-machine'], { cwd: root });
    expect(await client.run('byteback-backup', '--source', `${machine.disk}/tree`)).toExitWith(0);

    await must(['apt-get', '-y', '-qq', 'purge', 'byteback', 'byteback-runtime']);
    for (const path of ['/etc/byteback', '/etc/sudoers.d/byteback', '/etc/ssh/sshd_config.d/byteback.conf']) {
      expect(await command(['ls', path])).toExitWith(2);
    }
    expect(await readFile(kept, 'utf8')).toBe('kept\n');
    expect(await machine.snapshots('web1')).toHaveLength(2);
    await rm(`${machine.disk}/tree`, { recursive: true });
  });
});
