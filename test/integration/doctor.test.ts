import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServerStatusSchema } from '../../src/report/fleet.ts';
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
    expect(v.safeParse(ServerStatusSchema, server).issues).toBeUndefined();
    expect(server.store).toMatchObject({
      path: '/byteback',
      pruneBelowPercent: 5,
      state: 'filling',
      nextRunsFit: true,
    });
    expect(server.store.totalBytes).toBeGreaterThan(3 * 1024 ** 3);
    expect(server.store.freeBytes).toBeLessThan(server.store.totalBytes);
    expect(server.alerts).toEqual([]);
    expect(server.clients).toEqual([
      expect.objectContaining({
        name: 'web1',
        registered: true,
        snapshots: 1,
        held: 0,
        oldestAt: expect.stringMatching(/Z$/),
        newest: expect.objectContaining({ name: snapshot, status: 'ok' }),
        openRunSince: null,
        running: [],
        overdue: false,
        pruningPaused: null,
        forecast: 'web1: 0 days of history, all that there is; nothing had to go yet',
      }),
    ]);
    const { stdout } = await must(['byteback', 'status']);
    expect(stdout).toMatch(/^\/byteback: filling with history/);
    expect(stdout).toMatch(/^web1 +0 min /m);
    expect(own.client.lastRun.excluded).toEqual(expect.any(Array));
  });

  it('shows a transfer that is under way, on the server', async () => {
    await must(['dd', 'if=/dev/urandom', `of=${machine.disk}/large`, 'bs=1M', 'count=24', 'status=none']);
    const running = client.run('byteback-backup', '--bwlimit', '4M');
    let seen: { running: Record<string, unknown>[]; openRunSince: string } | undefined;
    for (let i = 0; i < 100 && (seen?.running.length ?? 0) === 0; i++) {
      const { server } = JSON.parse((await must(['byteback', 'status', '--json'])).stdout);
      [seen] = server.clients;
      if (Number(seen?.running[0]?.['doneBytes'] ?? 0) < 100_000) seen = undefined;
    }
    const { stdout } = await must(['byteback', 'status']);
    expect(await running).toMatchObject({ exitCode: 0, stderr: '' });
    expect(seen?.openRunSince).toMatch(/Z$/);
    expect(seen?.running).toEqual([
      expect.objectContaining({
        kind: 'backup',
        run: expect.stringMatching(/^[0-9a-f]{32}$/),
        expectedBytes: expect.any(Number),
      }),
    ]);
    expect(Number(seen?.running[0]?.['doneBytes'])).toBeLessThan(40e6);
    expect(stdout).toMatch(/^web1 sends /m);
  });

  it('writes metrics and the page after each run and when asked, where server.toml says', async () => {
    const toml = await readFile('/etc/byteback/server.toml', 'utf8');
    const [metrics, page] = [`${machine.scratch}/byteback.prom`, `${machine.scratch}/index.html`];
    await writeFile(
      '/etc/byteback/server.toml',
      `${toml}\n[metrics]\noutput = "${metrics}"\n[page]\noutput = "${page}"\n`,
    );
    try {
      await must(['byteback-prune']);
      expect(await readFile(metrics, 'utf8')).toContain('byteback_client_snapshots{client="web1"} 2\n');
      const names = await machine.snapshots('web1');
      for (const name of names) expect(await readFile(page, 'utf8')).toContain(name);
      expect((await must(['stat', '-c', '%a %U', metrics, page])).stdout).toBe('644 root\n644 root\n');

      expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
      const [, , third = ''] = await machine.snapshots('web1');
      // The run has ended for the client before the server prunes and writes.
      await expect.poll(() => readFile(page, 'utf8'), { timeout: 20_000 }).toContain(third);
      expect((await must(['byteback', 'page'])).stdout).toContain(third);
      expect((await must(['byteback', 'metrics'])).stdout).toContain('byteback_client_snapshots{client="web1"} 3\n');
      expect(await command(['byteback', 'page', '--output', '/no/such/place/index.html'])).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining('/no/such/place'),
      });
    } finally {
      await writeFile('/etc/byteback/server.toml', toml);
    }
  });

  it('speaks to a monitor in one line and four codes', async () => {
    const well = await command(['byteback', 'status', '--check']);
    expect(well).toMatchObject({ exitCode: 0, stderr: '' });
    expect(well.stdout).toMatch(/^BYTEBACK OK - 1 client, filling with history: [^|\n]+ \| used=\d+B;[^|\n]+\n$/);
    expect(await client.run('byteback', 'status', '--check')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^BYTEBACK OK - last backup 0 h ago \| age=\d+s;;;0\n$/),
    });
    const never = machine.clientToBe('never');
    expect(await never.run('byteback', 'status', '--check')).toMatchObject({
      exitCode: 3,
      stdout: expect.stringMatching(/^BYTEBACK UNKNOWN - there is no client here\n$/),
      stderr: '',
    });
    expect(await command(['byteback', 'status', '--check', '--nonsense'])).toMatchObject({ exitCode: 3, stderr: '' });
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
