import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandOptions, command, must, type Outcome } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { acceptInvite } from '../helpers/invite.ts';

// Set-up of a client with the commands as a person types them, against a real sshd with Debian's own configuration.
let machine: InstalledMachine;

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
});
afterAll(async () => {
  await machine?.dispose();
  await rm('/root/.ssh/config', { force: true });
});

/** byteback-setup-client with what every call here has. */
function setUp(client: TestClient, further: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  const port = further.some((word) => word === '--port' || word.startsWith('byteback@vault'))
    ? []
    : ['--port', String(machine.port)];
  const destination = further.includes('--destination') ? [] : ['--destination', 'byteback@127.0.0.1:'];
  const timer = further.includes('--cron') ? [] : ['--no-timer'];
  return client.runWith(options, 'byteback-setup-client', ...destination, ...port, ...timer, ...further);
}
const withKey = () => ['--identity', machine.adminKey, '--accept-new'];

/** Every file of a client by name, with mode, time and content. */
async function everything(client: TestClient): Promise<string> {
  const files = await must(['find', client.configDir, client.stateDir, '-printf', '%p %m %T@\n']);
  const contents = await must(['grep', '-r', '', client.configDir]);
  return files.stdout + contents.stdout;
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

describe('setting up a client', () => {
  it('with an administrative key: says each step, and leaves what belongs there', async () => {
    const client = machine.clientToBe('one');
    const outcome = await setUp(client, [...withKey(), '--hostname', 'one']);
    expect(outcome).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('one is a client of byteback@127.0.0.1:'),
    });
    for (const step of [
      'asking 127.0.0.1 for its host key',
      'SHA256:',
      'making this machine',
      'registering',
      'writing',
    ]) {
      expect(outcome.stderr).toContain(step);
    }
    const modes = await must(['find', client.configDir, client.stateDir, '-printf', '%f %m\n']);
    expect(modes.stdout.trim().split('\n').toSorted()).toEqual([
      'client.toml 600',
      'config 700',
      'key 600',
      'key.pub 644',
      'known_hosts 644',
      'ssh_config 644',
      'state 700',
    ]);
    expect(await readFile(`${client.configDir}/client.toml`, 'utf8')).toMatch(/^destination = "byteback@127.0.0.1:"$/m);
  });

  it('again changes nothing, with or without a proof, and keeps what an admin added', async () => {
    const client = machine.clientToBe('one');
    const config = `${client.configDir}/ssh_config`;
    await writeFile(
      config,
      `${await readFile(config, 'utf8')}    IPQoS throughput\n\n# mine\nHost other\n    User x\n`,
    );
    const before = await everything(client);
    for (const proof of [withKey(), []]) {
      expect(await setUp(client, [...proof, '--hostname', 'one'])).toExitWith(0);
      expect(await everything(client)).toBe(before);
    }
  });

  it('under another name with the same key is refused', async () => {
    const outcome = await setUp(machine.clientToBe('one'), [...withKey(), '--hostname', 'two']);
    expect(outcome).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('registered as one, not as two') });
  });

  it('maps a name that is no DNS name, and says so', async () => {
    const outcome = await setUp(machine.clientToBe('mapped'), [...withKey(), '--hostname', 'My_Laptop']);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('called my-laptop: My_Laptop') });
    expect((await must(['byteback', 'client', 'list'])).stdout).toContain('my-laptop');
  });

  it('with an invite, which pins the host key without a question, and works once', async () => {
    const { stdout } = await must([
      'byteback',
      'client',
      'invite',
      'invited',
      '--host',
      '127.0.0.1',
      '--port',
      String(machine.port),
    ]);
    const client = machine.clientToBe('invited');
    const outcome = await acceptInvite(client, stdout);
    expect(outcome).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('invited is a client of') });
    expect(outcome.stderr).not.toContain('asking 127.0.0.1 for its host key');
    const before = await everything(client);
    expect(await acceptInvite(client, stdout)).toExitWith(0);
    expect(await everything(client)).toBe(before);

    const second = await acceptInvite(machine.clientToBe('thief'), stdout);
    expect(second).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('an invite works once') });
    expect(await exists(`${machine.clientToBe('thief').configDir}/client.toml`)).toBe(false);
    const spoilt = await acceptInvite(machine.clientToBe('thief'), `${stdout.trim().slice(0, -2)}xx`);
    expect(spoilt).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('checksum') });
    const nothing = await acceptInvite(machine.clientToBe('thief'), stdout.split('\n')[0] ?? '');
    expect(nothing).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('no invite came') });
  });

  it('with the password, which ssh asks for', async () => {
    await must(['chpasswd'], { input: 'byteback:correct horse\n' });
    const askpass = `${machine.scratch}/askpass`;
    const env = { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' };
    await writeFile(askpass, "#!/bin/sh\necho 'wrong'\n");
    await chmod(askpass, 0o755);
    const client = machine.clientToBe('password');
    const wrong = await setUp(client, ['--accept-new', '--hostname', 'password'], { env });
    expect(wrong).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('Permission denied') });
    expect(await readdir(client.configDir)).toEqual(['key', 'key.pub']);
    await writeFile(askpass, "#!/bin/sh\necho 'correct horse'\n");
    expect(await setUp(client, ['--accept-new', '--hostname', 'password'], { env })).toExitWith(0);
  });

  it('by an alias of ssh, through another host', async () => {
    await must(['useradd', '--create-home', 'jump']);
    await must(['usermod', '--password', '*', 'jump']);
    await mkdir('/home/jump/.ssh', { recursive: true });
    await mkdir('/root/.ssh', { recursive: true });
    const key = `${machine.scratch}/jump`;
    await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
    await must(['cp', `${key}.pub`, '/home/jump/.ssh/authorized_keys']);
    await must(['chown', '-R', 'jump', '/home/jump']);
    const known = `${machine.scratch}/known_hosts`;
    const [type, blob] = (await readFile('/etc/ssh/ssh_host_ed25519_key.pub', 'utf8')).split(' ');
    await writeFile(known, `[127.0.0.1]:${machine.port} ${type} ${blob}\n`);
    await writeFile(
      '/root/.ssh/config',
      [
        `Host vault\n  HostName 127.0.0.1\n  Port ${machine.port}\n  ProxyJump bastion\n  IdentityFile ${machine.adminKey}`,
        `Host bastion\n  HostName 127.0.0.1\n  Port ${machine.port}\n  User jump\n  IdentityFile ${key}\n  UserKnownHostsFile ${known}\n`,
      ].join('\n'),
    );
    const client = machine.clientToBe('alias');
    // The alias names the administrative key, too: no --identity.
    const outcome = await setUp(client, ['--destination', 'byteback@vault:', '--accept-new', '--hostname', 'alias']);
    expect(outcome).toExitWith(0);
    const text = await readFile(`${client.configDir}/ssh_config`, 'utf8');
    expect(text).toContain('ProxyJump bastion');
    expect(text).toContain(`IdentityFile ${key}`);
    expect(text).not.toContain(machine.adminKey);
    // The person's own configuration is not needed any more.
    await rm('/root/.ssh/config');
    expect(await setUp(client, ['--destination', 'byteback@vault:', '--hostname', 'alias'])).toMatchObject({
      exitCode: 0,
    });
    expect(await machine.sshdLog()).toContain('Accepted publickey for jump');
  });

  it('writes a crontab with its own directories, once', async () => {
    const client = machine.clientToBe('cron.example');
    expect(await setUp(client, [...withKey(), '--hostname', 'cron.example', '--cron'])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('runs daily by /etc/cron.d/byteback-backup-cron_example'),
    });
    const file = '/etc/cron.d/byteback-backup-cron_example';
    const text = await readFile(file, 'utf8');
    expect(text).toContain(`BYTEBACK_CONFIG_DIR=${client.configDir}\n`);
    expect(text).toMatch(/^\d{1,2} [0-5] \* \* \* root \/usr\/bin\/byteback-backup$/m);
    await setUp(client, ['--hostname', 'cron.example', '--cron']);
    expect(await readFile(file, 'utf8')).toBe(text);
    await rm(file);
  });

  it('asks before it changes the destination, and changes nothing else of client.toml', async () => {
    const client = machine.clientToBe('one');
    const file = `${client.configDir}/client.toml`;
    await writeFile(file, `${await readFile(file, 'utf8')}exclude = ["/srv/cache"]\n`);
    const further = ['--destination', 'byteback@localhost:', ...withKey(), '--hostname', 'one'];
    expect(await setUp(client, further)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--yes') });
    expect(await readFile(file, 'utf8')).toContain('byteback@127.0.0.1:');
    expect(await setUp(client, [...further, '--yes'])).toExitWith(0);
    expect(await readFile(file, 'utf8')).toMatch(
      /destination = "byteback@localhost:"\nexclude = \["\/srv\/cache"\]\n$/,
    );
  });
});

describe('a client is not set up', () => {
  it.each<[string, () => string[], number, string]>([
    ['without a colon', () => ['--destination', 'byteback@127.0.0.1', ...withKey()], 2, 'colon after the host'],
    ['with a path', () => ['--destination', 'byteback@127.0.0.1:/srv', ...withKey()], 2, 'has a path'],
    [
      'with an option for a host',
      () => ['--destination', 'byteback@-oProxyCommand=x:', ...withKey()],
      2,
      'no host name',
    ],
    ['with a name that cannot be mapped', () => ['--hostname', 'größe', ...withKey()], 2, 'cannot name a client'],
    [
      'with a key that is not there',
      () => ['--identity', '/nope', '--accept-new', '--hostname', 'x'],
      2,
      'cannot use the key /nope',
    ],
    ['with a source that is relative', () => ['--source', 'etc', ...withKey()], 2, 'not a source'],
    ['where nobody answers', () => ['--port', '1', ...withKey(), '--hostname', 'x'], 10, 'Connection refused'],
    [
      'when nobody can confirm the host key',
      () => ['--identity', machine.adminKey, '--hostname', 'x'],
      2,
      '--accept-new',
    ],
  ])('%s', async (_, further, exitCode, text) => {
    const client = machine.clientToBe('none');
    expect(await setUp(client, further())).toMatchObject({
      exitCode,
      stdout: '',
      stderr: expect.stringContaining(text),
    });
    expect(await exists(client.configDir)).toBe(false);
  });

  it('with a key that is no administrative one; the next try goes on with the same key', async () => {
    const stranger = `${machine.scratch}/stranger`;
    await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', stranger]);
    const client = machine.clientToBe('later');
    expect(await setUp(client, ['--identity', stranger, '--accept-new', '--hostname', 'later'])).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining(`does not take ${stranger}`),
    });
    const key = await readFile(`${client.configDir}/key.pub`, 'utf8');
    expect(await setUp(client, [...withKey(), '--hostname', 'later'])).toExitWith(0);
    expect(await readFile(`${client.configDir}/key.pub`, 'utf8')).toBe(key);
  });

  it('against a host key that changed, whatever was said about new ones', async () => {
    const client = machine.clientToBe('later');
    const file = `${client.configDir}/known_hosts`;
    const right = await readFile(file, 'utf8');
    const wrong = (await readFile(`${machine.adminKey}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');
    await writeFile(file, `127.0.0.1 ${wrong}\n`);
    const outcome = await setUp(client, [...withKey(), '--hostname', 'later']);
    expect(outcome).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('the host key of 127.0.0.1 has changed'),
    });
    const [, fix = ''] = /forget the old key: (ssh-keygen -R \S+ -f \S+), and run/.exec(outcome.stderr) ?? [];
    await must(fix.replaceAll("'", '').split(' '));
    expect(await setUp(client, [...withKey(), '--hostname', 'later'])).toExitWith(0);
    expect(await command(['cat', file])).toMatchObject({ stdout: right });
  });
});
