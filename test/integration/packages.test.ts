import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
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
      const { stdout } = await must(['stat', '--dereference', '-c', '%U:%G %A', path]);
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

  it('have units that systemd understands, and timers that say when', async () => {
    const units = (await installedFiles()).filter((path) => /\.(service|timer)$/.test(path));
    const names = units.map((unit) => unit.replace(/.*\//, ''));
    for (const job of ['backup', 'drill', 'prune', 'report', 'scrub']) {
      expect(names).toEqual(expect.arrayContaining([`byteback-${job}.service`, `byteback-${job}.timer`]));
    }
    // Minimal machines have no man to look the pages up with.
    const { stdout, stderr } = await command(['systemd-analyze', 'verify', '--man=no', ...units]);
    expect(stdout + stderr).toBe('');
    for (const unit of units) {
      const text = await readFile(unit, 'utf8');
      for (const [, page = ''] of text.matchAll(/^Documentation=man:([\w-]+)\(1\)$/gm))
        await must(['test', '-f', `/usr/share/man/man1/${page}.1.gz`]);
      for (const [, when = ''] of text.matchAll(/^OnCalendar=(.*)$/gm))
        await must(['systemd-analyze', 'calendar', when]);
    }
  });

  it('have units as closed as their job allows', async () => {
    // What each one leaves open, and why, is written in it.
    const atMost: Readonly<Record<string, number>> = {
      ...{ backup: 7.7, scrub: 4.1, prune: 2.2 },
      ...{ drill: 3, report: 3, 'failure@': 3 },
    };
    for (const [job, threshold] of Object.entries(atMost)) {
      const unit = `/usr/lib/systemd/system/byteback-${job}.service`;
      await must(['systemd-analyze', 'security', '--offline=yes', `--threshold=${threshold * 10}`, unit]);
      expect(await readFile(unit, 'utf8')).toMatch(/^# Hardening/m);
    }
  });

  it('have man pages that mandoc finds no fault with, one for each command', async () => {
    const pages = (await installedFiles()).filter((path) => path.startsWith('/usr/share/man/') && path.endsWith('.gz'));
    // mandoc unpacks only the first of several.
    const plain = join(machine.scratch, 'man');
    await mkdir(plain);
    for (const page of pages) await writeFile(join(plain, basename(page, '.gz')), gunzipSync(await readFile(page)));
    const lint = await command(['mandoc', '-T', 'lint', ...(await readdir(plain)).map((name) => join(plain, name))]);
    expect(lint.stdout + lint.stderr).toBe('');
    const programs = (await installedFiles()).filter((path) => path.startsWith('/usr/bin/'));
    for (const program of programs)
      expect(pages).toContain(`/usr/share/man/man1/${program.slice('/usr/bin/'.length)}.1.gz`);
  });

  it('have what is compiled ready for root and the user, and only root can change it', async () => {
    const { stdout } = await must(['find', '/usr/lib/byteback/cache', '-type', 'f', '-name', '*']);
    expect(stdout.split('\n').length).toBeGreaterThan(20);
    const open = await must([
      'find',
      '/usr/lib/byteback/cache',
      '(',
      '-perm',
      '/022',
      '-o',
      '!',
      '-user',
      '0',
      ')',
      '!',
      '-type',
      'l',
    ]);
    expect(open.stdout).toBe('');
    // The user was made after the packages were installed.
    const { stdout: uid } = await must(['id', '-u', 'byteback']);
    const own = (await readdir('/usr/lib/byteback/cache')).filter((name) => name.endsWith(`-${uid.trim()}`));
    expect(own).toHaveLength(1);
    const read = ['sudo', '-u', 'byteback', 'find', `/usr/lib/byteback/cache/${own[0]}/`, '-type', 'f'];
    expect((await must([...read, '-readable'])).stdout.split('\n').length).toBeGreaterThan(20);
    expect((await must([...read, '-writable'])).stdout).toBe('');
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
    // Copied once: the checkout may be worked on meanwhile.
    const sources = await mkdtemp(join(machine.scratch, 'sources-'));
    for (const name of ['one', 'another place']) {
      const place = await mkdtemp(join(machine.scratch, `${name}-`));
      for (const part of [
        'packaging',
        'bin',
        'docs',
        'src',
        'sudoers',
        'systemd',
        'package.json',
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
      ]) {
        if (name === 'one') await cp(join(root, part), join(sources, part), { recursive: true });
        await cp(join(sources, part), join(place, part), { recursive: true });
      }
      await symlink(join(root, 'node_modules'), join(place, 'node_modules'));
      // As a checkout is with a umask of 002, and one of 077; there is no git history in either.
      await must(['chmod', '-R', name === 'one' ? 'ug+rw' : 'go-rwx', place]);
      await must(['packaging/make-packages'], { cwd: place });
      const files = await readdir(join(place, 'dist'));
      expect(files).toHaveLength(4);
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

  it('are a .tar.gz, too, that installs itself where it is told to', async () => {
    await must(['node', '--disable-warning=ExperimentalWarning', 'packaging/package.ts', '--tar'], { cwd: root });
    const archive = (await readdir(join(root, 'dist'))).find((file) => file.endsWith('.tar.gz')) ?? '';
    await must(['tar', '-xzf', join(root, 'dist', archive), '-C', machine.scratch]);
    const install = join(machine.scratch, archive.replace('.tar.gz', ''), 'install');
    const staged = join(machine.scratch, 'staged');
    await must([install], { env: { DESTDIR: staged, PREFIX: '/usr' } });
    for (const path of (await installedFiles()).filter(
      (file) => !/\/(?:cache|parts|lintian|doc\/byteback-)/.test(file),
    ))
      await must(['test', '-e', `${staged}${path}`]);
    await must([install], { env: { PREFIX: '/usr/local' } });
    expect(await must(['/usr/local/bin/byteback', '--version'])).toMatchObject({ stderr: '' });
    expect(await readFile('/usr/local/lib/systemd/system/byteback-prune.service', 'utf8')).toContain(
      'ExecStart=/usr/local/bin/byteback-prune\n',
    );
    const unchanged = await command(['grep', '-rlE', '/usr/(lib|bin)/byteback', '/usr/local/lib', '/usr/local/bin']);
    expect(unchanged.stdout).toBe('');
    expect(await command([install], { env: { PREFIX: '/opt' } })).toExitWith(2);
    await must(['sh', '-c', 'rm -rf /usr/local/bin/byteback* /usr/local/lib/byteback /usr/local/lib/systemd']);
  });

  it('keep the configuration and the store on remove, and only the store on purge', async () => {
    const client = await machine.client('web1');
    await mkdir(`${machine.disk}/tree`);
    await writeFile(`${machine.disk}/tree/file`, 'kept\n');
    expect(await client.run('byteback-backup', '--source', `${machine.disk}/tree`)).toExitWith(0);
    const [snapshot] = await machine.snapshots('web1');
    const kept = `${client.place}/snapshots/${snapshot}/fs${machine.disk}/tree/file`;
    const registry = await readFile('/etc/byteback/authorized_keys', 'utf8');

    await must([
      'apt-get',
      '-y',
      '-qq',
      'remove',
      'byteback',
      'byteback-runtime',
      'byteback-client',
      'byteback-server',
    ]);
    expect(await command(['ls', '/usr/lib/byteback'])).toExitWith(2);
    expect(await readFile('/etc/byteback/authorized_keys', 'utf8')).toBe(registry);
    await must(['visudo', '--check']);
    await must(['sshd', '-t']);

    await must(['test/helpers/install-into-private-machine'], { cwd: root });
    expect(await client.run('byteback-backup', '--source', `${machine.disk}/tree`)).toExitWith(0);

    await must(['apt-get', '-y', '-qq', 'purge', 'byteback', 'byteback-runtime', 'byteback-client', 'byteback-server']);
    for (const path of ['/etc/byteback', '/etc/sudoers.d/byteback', '/etc/ssh/sshd_config.d/byteback.conf']) {
      expect(await command(['ls', path])).toExitWith(2);
    }
    expect(await readFile(kept, 'utf8')).toBe('kept\n');
    expect(await machine.snapshots('web1')).toHaveLength(2);
    await rm(`${machine.disk}/tree`, { recursive: true });
  });
});
