import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// `byteback status` and `byteback doctor` on a machine that is well, and on the same machine with one thing broken at a time.
let machine: InstalledMachine;
let client: TestClient;

interface Finding {
  area: string;
  state: string;
  what: string;
  fix?: string;
}

async function doctor(run: Promise<{ stdout: string; exitCode: number }>) {
  const { stdout, exitCode } = await run;
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Finding[] };
  return { ok, exitCode, bad: findings.filter(({ state }) => state !== 'ok'), findings };
}
const onServer = () => doctor(command(['byteback', 'doctor', '--json']));
const onClient = () => doctor(client.run('byteback', 'doctor', '--json'));

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1', '--source', machine.disk);
});
afterAll(async () => {
  await machine?.dispose();
});

describe('byteback status', () => {
  it('of a client before its first run', async () => {
    const { stdout, stderr, exitCode } = await client.run('byteback', 'status');
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
    expect(stdout).toContain('client of byteback@127.0.0.1:');
    expect(stdout).toContain('none yet');
  });

  it('of a client and of the server after a run', async () => {
    await writeFile(`${machine.disk}/file`, 'content\n');
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
    const [snapshot = ''] = await machine.snapshots('web1');
    const own = JSON.parse((await client.run('byteback', 'status', '--json')).stdout);
    expect(own.client).toMatchObject({ source: [machine.disk], overdue: false, lastRun: { status: 'ok', snapshot } });
    expect(own.server).toBeUndefined();

    const { server } = JSON.parse((await must(['byteback', 'status', '--json'])).stdout);
    expect(server.store).toMatchObject({ path: '/byteback', pruneBelowPercent: 5 });
    expect(server.store.totalBytes).toBeGreaterThan(3 * 1024 ** 3);
    expect(server.store.freeBytes).toBeLessThan(server.store.totalBytes);
    expect(server.clients).toEqual([
      {
        name: 'web1',
        registered: true,
        snapshots: 1,
        held: 0,
        oldestAt: expect.stringMatching(/Z$/),
        newest: expect.objectContaining({ name: snapshot, status: 'ok' }),
        openRunSince: null,
        overdue: false,
        pruningPaused: null,
        forecast: 'web1: 0 days of history, all that there is; nothing had to go yet',
      },
    ]);
    const { stdout } = await must(['byteback', 'status']);
    expect(stdout).toMatch(new RegExp(`^web1 +${snapshot} `, 'm'));
  });

  it('of a server is for root only', async () => {
    const { stderr, exitCode } = await command([
      'setpriv',
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      'byteback',
      'status',
    ]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('only root may look into the store');
  });
});

describe('byteback doctor', () => {
  it('finds nothing to fail on a server and a client that are well', async () => {
    const server = await onServer();
    expect(server.bad.filter(({ state }) => state === 'failure')).toEqual([]);
    expect(server).toMatchObject({ ok: true, exitCode: 0 });
    const own = await onClient();
    expect(own.bad.map(({ area }) => area)).toEqual(['schedule']);
    expect(own).toMatchObject({ ok: true, exitCode: 0 });
    expect(own.findings.find(({ area }) => area === 'server')?.what).toContain('this is web1');
  });

  it('attacks the server with its own key, and says what that gets', async () => {
    const prove = async () => doctor(client.run('byteback', 'doctor', '--prove', '--json'));
    const well = await prove();
    expect(well.findings).toContainEqual(
      expect.objectContaining({
        area: 'attacks',
        state: 'ok',
        what: expect.stringContaining('refused all 17 attacks'),
      }),
    );
    const dropIn = '/etc/ssh/sshd_config.d/byteback.conf';
    const before = await readFile(dropIn, 'utf8');
    try {
      await writeFile(dropIn, before.replace(/ForceCommand .*/, 'ForceCommand /bin/sh -c "$SSH_ORIGINAL_COMMAND"'));
      machine.sshd.kill('SIGHUP');
      const broken = await prove();
      expect(broken.bad.map(({ area, what }) => `${area}: ${what}`)).toContain(
        'attacks: byteback@127.0.0.1 gives a client a shell',
      );
      expect(broken.exitCode).toBe(12);
    } finally {
      await writeFile(dropIn, before);
      machine.sshd.kill('SIGHUP');
    }
  });

  it('proves the server with a client that is thrown away', async () => {
    const { stdout, exitCode } = await command(['byteback', 'doctor', '--prove', '--verbose']);
    expect(stdout).toContain('a whole run works');
    expect(exitCode).toBe(0);
  });

  it('says how sudo, sshd, the registry and the installation are broken', async () => {
    const broken: [area: string, file: string, change: (text: string) => string][] = [
      ['sudo', '/etc/sudoers.d/byteback', (text) => text.replace('""', '')],
      ['sshd', '/etc/ssh/sshd_config', (text) => `Match User byteback\n  ForceCommand /bin/sh\nMatch all\n${text}`],
      ['configuration', '/etc/byteback/server.toml', (text) => `${text}\nnonsense = 1\n`],
    ];
    for (const [area, file, change] of broken) {
      const text = await readFile(file, 'utf8');
      await writeFile(file, change(text));
      const { ok, exitCode, bad } = await onServer();
      await writeFile(file, text);
      expect(bad.filter(({ state }) => state === 'failure').map((finding) => finding.area)).toContain(area);
      expect({ ok, exitCode }).not.toEqual({ ok: true, exitCode: 0 });
    }
    const toml = await readFile('/etc/byteback/server.toml', 'utf8');
    await writeFile('/etc/byteback/server.toml', `${toml}\nnonsense = 1\n`);
    const unreadable = await onServer();
    await writeFile('/etc/byteback/server.toml', toml);
    expect(unreadable.bad.filter(({ what }) => what.includes('nonsense'))).toHaveLength(1);

    await chmod('/usr/lib/byteback/receive.mjs', 0o666);
    const open = await onServer();
    await chmod('/usr/lib/byteback/receive.mjs', 0o644);
    expect(open.bad).toContainEqual(expect.objectContaining({ area: 'installation', state: 'failure' }));
  });

  it('finds what somebody changed in a client’s place', async () => {
    const places: [path: string, wrong: number, right: number][] = [
      [client.place, 0o777, 0o750],
      [`${client.place}/current`, 0o777, 0o755],
      [`${client.place}/lock`, 0o666, 0o640],
    ];
    for (const [path, wrong, right] of places) {
      await chmod(path, wrong);
      const { bad, exitCode } = await onServer();
      await chmod(path, right);
      expect(exitCode).toBe(2);
      expect(bad).toContainEqual(expect.objectContaining({ area: 'places', what: `${path} is not as it must be` }));
    }
    expect(await onServer()).toMatchObject({ ok: true });
  });

  it('names a line of the registry that is nobody’s', async () => {
    const file = '/etc/byteback/authorized_keys';
    const text = await readFile(file, 'utf8');
    await writeFile(file, `${text}ssh-ed25519 AAAA somebody\n`);
    const { bad, exitCode } = await onServer();
    await writeFile(file, text);
    expect(bad).toContainEqual(
      expect.objectContaining({ area: 'registry', state: 'warning', what: expect.stringContaining(`${file}:`) }),
    );
    expect(exitCode).toBe(0);
  });

  it('says what a client lacks, and that its server is away', async () => {
    await chmod(`${client.configDir}/key`, 0o644);
    const open = await onClient();
    await chmod(`${client.configDir}/key`, 0o600);
    expect(open.exitCode).toBe(2);
    expect(open.bad).toContainEqual(
      expect.objectContaining({ area: 'key', state: 'failure', fix: expect.stringContaining('chmod 0600') }),
    );

    await chmod(`${client.configDir}/client.toml`, 0o666);
    const writable = await onClient();
    await chmod(`${client.configDir}/client.toml`, 0o644);
    expect(writable.bad).toContainEqual(expect.objectContaining({ area: 'configuration', state: 'failure' }));

    const known = await readFile(`${client.configDir}/known_hosts`);
    await rm(`${client.configDir}/known_hosts`);
    const unknown = await onClient();
    await writeFile(`${client.configDir}/known_hosts`, known);
    expect(unknown.bad.map(({ area }) => area)).toEqual(expect.arrayContaining(['host key', 'server']));

    await machine.stopSshd();
    const away = await onClient();
    await machine.startSshd();
    expect(away.exitCode).toBe(10);
    expect(away.bad).toContainEqual(expect.objectContaining({ area: 'server', state: 'failure' }));
  });
});
