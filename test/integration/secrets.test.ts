import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

/** Addresses of pings and web hooks are secrets: whoever knows one can use it. */
let machine: InstalledMachine;
let web1: TestClient;
const serverToml = '/etc/byteback/server.toml';
const secret = 'a-secret-of-the-admin';
const settings = `
[mail]
admin = "ops@example.net"
smtp = "smtp://user:${secret}@127.0.0.1:1"
[default]
ping = "http://127.0.0.1:1/${secret}"
webhook = "http://127.0.0.1:1/${secret}"
report = "${secret}@example.net"
[client."web1"]
ping = "http://127.0.0.1:1/${secret}-1"
errors = "${secret}@example.net"
`;
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
const readableBy = async (user: string, path: string) =>
  (await command(['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', 'cat', '--', path])).exitCode ===
  0;

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  web1 = await machine.client('web1', '--source', machine.disk);
  await writeFile(serverToml, (await readFile(serverToml, 'utf8')) + settings);
});

afterAll(() => machine?.dispose());

describe('server.toml', () => {
  it('is read by root alone, and sessions go by it all the same, by each edit at once', async () => {
    for (const user of ['byteback', 'nobody'])
      expect(await readableBy(user === 'nobody' ? '65534' : user, serverToml)).toBe(false);
    expect(await web1.run('byteback-backup')).toExitWith(0);
    const before = await readFile(serverToml, 'utf8');
    await writeFile(
      serverToml,
      before.replace('[client."web1"]', '[client."web1"]\nallow = ["prepare", "transfer", "complete"]'),
    );
    expect(await web1.run('byteback-restore', '--snapshots')).toMatchObject({ exitCode: 12 });
    await writeFile(serverToml, before.replace('[client."web1"]', '[client."web1"]\nfrom = ["192.0.2.1"]'));
    expect(await web1.run('byteback-backup')).toMatchObject({ exitCode: 12 });
    await writeFile(serverToml, before);
    expect(await web1.run('byteback-restore', '--snapshots')).toExitWith(0);
    expect(await command(['byteback-restore', '--client', 'web1', '--snapshots'])).toExitWith(0);
  });

  it('shows nothing secret in what the receiving user gets of it, nor to anybody else', async () => {
    const published = '/run/byteback/receive.json';
    expect(await readFile(published, 'utf8')).not.toContain(secret);
    expect(await readableBy('byteback', published)).toBe(true);
    expect(await readableBy('65534', published)).toBe(false);
    // What is published is not what somebody who took that user over can change.
    expect(
      (await command(['su', 'byteback', '-s', '/bin/sh', '-c', `echo x >>${published}; rm -f ${published}`])).exitCode,
    ).not.toBe(0);
  });

  it('goes on when what was published is gone or damaged', async () => {
    for (const spoil of [
      'rm -r /run/byteback',
      'echo "{" >/run/byteback/receive.json',
      ': >/run/byteback/receive.json',
    ]) {
      await must(['sh', '-c', spoil]);
      expect(await web1.run('byteback-restore', '--snapshots')).toExitWith(0);
    }
  });

  it('of an earlier version is found by doctor, and put right by set-up and by the package', async () => {
    await chmod(serverToml, 0o644);
    expect((await command(['byteback', 'doctor'])).stdout).toContain(`give ${serverToml} to root alone`);
    expect(await command(['byteback-setup-server', '--yes'])).toExitWith(0);
    expect(await modeOf(serverToml)).toBe('600');
    expect((await readFile(serverToml, 'utf8')).endsWith(settings)).toBe(true);
    await chmod(serverToml, 0o644);
    await must(['/var/lib/dpkg/info/byteback.postinst', 'configure']);
    expect(await modeOf(serverToml)).toBe('600');
  });

  it('stays readable for sessions of the version before while they last, and for nobody else', async () => {
    await chmod(serverToml, 0o644);
    const { spawn } = await import('node:child_process');
    const session = spawn('setpriv', ['--reuid=byteback', '--regid=byteback', '--clear-groups', 'sleep', '60']);
    try {
      await must([
        'sh',
        '-c',
        'for i in $(seq 100); do pgrep -u byteback >/dev/null && exit 0; sleep 0.1; done; exit 1',
      ]);
      await must(['/var/lib/dpkg/info/byteback.postinst', 'configure']);
      expect(await readableBy('byteback', serverToml)).toBe(true);
      expect(await readableBy('65534', serverToml)).toBe(false);
    } finally {
      session.kill();
    }
    expect(await command(['byteback-setup-server', '--yes'])).toExitWith(0);
    expect(await modeOf(serverToml)).toBe('600');
  });
});

describe('client.toml', () => {
  it("is its owner's alone; doctor finds an older one, and set-up puts it right", async () => {
    const file = join(web1.configDir, 'client.toml');
    expect(await modeOf(file)).toBe('600');
    await chmod(file, 0o644);
    expect((await web1.run('byteback', 'doctor')).stdout).toContain(`${file} can be read by others`);
    await machine.client('web1', '--source', machine.disk);
    expect(await modeOf(file)).toBe('600');
  });
});
