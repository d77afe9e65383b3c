import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClientName } from '../../src/protocol/names.ts';
import { inviteClient } from '../../src/server/clients.ts';
import { openServer } from '../../src/server/open-server.ts';
import { type CommandOptions, command, must, type Outcome } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';
import { acceptInvite, readInvite } from '../helpers/invite.ts';

// Who may register what, tried with a real sshd and with the root helper itself, as the user byteback would call it if
// somebody had taken it over.

const registry = '/etc/byteback/authorized_keys';
let machine: InstalledMachine;
let askpass = '';

/** A new key pair; the line of its public key. */
async function newKey(name: string, ...options: string[]): Promise<string> {
  const file = `${machine.scratch}/${name}`;
  await must([
    'ssh-keygen',
    '-q',
    '-N',
    '',
    '-C',
    'somebody',
    '-f',
    file,
    ...(options.length > 0 ? options : ['-t', 'ed25519']),
  ]);
  return (await readFile(`${file}.pub`, 'utf8')).trim();
}

const blobOf = (line: string) => line.split(' ')[1] ?? '';
const registered = async () =>
  (await readFile(registry, 'utf8'))
    .split('\n')
    .flatMap((line) => / (client|invite|admin):(\S+)$/.exec(line)?.[0].trim() ?? []);

/** Everything that a refused registration must leave as it was. */
async function state(): Promise<string> {
  return (
    (await readFile(registry, 'utf8')) +
    (await must(['find', '/byteback/clients', '/byteback/.byteback/clients', '/etc/byteback'])).stdout
  );
}

/** ssh as the user byteback, with a key or with the password, to the machine's own sshd. */
function ssh(
  credential: { key: string } | 'password',
  words: readonly string[],
  options: CommandOptions & { flags?: string[] } = {},
): Promise<Outcome> {
  const common = [
    '-F',
    'none',
    '-p',
    String(machine.port),
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
  ];
  const how =
    credential === 'password'
      ? ['-o', 'PubkeyAuthentication=no', '-o', 'NumberOfPasswordPrompts=1']
      : ['-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes', '-i', credential.key];
  return command(['ssh', ...common, ...how, ...(options.flags ?? []), 'byteback@127.0.0.1', ...words], {
    timeoutMs: 30_000,
    ...options,
    env: { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' },
  });
}

const request = (name: string, publicKey: string) => JSON.stringify({ protocol: 1, name, publicKey });
const register = (credential: { key: string } | 'password', name: string, publicKey: string) =>
  ssh(credential, ['register'], { input: request(name, publicKey) });

/** The root helper as the user byteback calls it. */
function helper(input: string | Uint8Array, ...args: string[]): Promise<Outcome> {
  const user = ['setpriv', '--reuid', 'byteback', '--regid', 'byteback', '--clear-groups', '--'];
  return command([...user, 'sudo', '-n', '/usr/lib/byteback/byteback-register', ...args], { input, cwd: '/' });
}
const helperRegister = (name: string, publicKey: string) =>
  helper(JSON.stringify({ verb: 'register', name, publicKey }));
const reply = ({ stdout }: Outcome) =>
  JSON.parse(stdout) as { ok: boolean; exit?: string; what?: string; client?: string };

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  await must(['chpasswd'], { input: 'byteback:correct horse\n' });
  askpass = `${machine.scratch}/askpass`;
  await writeFile(askpass, "#!/bin/sh\necho 'correct horse'\n");
  await chmod(askpass, 0o755);
});
afterAll(async () => {
  await machine?.dispose();
});

describe('registering', () => {
  it('with an admin key makes a client, and the same again changes nothing', async () => {
    const key = await newKey('alice');
    expect(reply(await register({ key: machine.adminKey }, 'alice.example', key))).toEqual({
      ok: true,
      client: 'alice.example',
    });
    expect(await registered()).toContain('client:alice.example');
    const rights = (
      await must([
        'stat',
        '-c',
        '%n %a %U:%G',
        ...['', '/current', '/current/fs', '/snapshots', '/lock'].map(
          (path) => `/byteback/clients/alice.example${path}`,
        ),
      ])
    ).stdout;
    expect(rights.replaceAll('/byteback/clients/alice.example', '').trim().split('\n')).toEqual([
      '750 root:byteback',
      '/current 755 root:root',
      '/current/fs 700 byteback:byteback',
      '/snapshots 755 root:root',
      '/lock 640 root:byteback',
    ]);
    expect(reply(await ssh({ key: `${machine.scratch}/alice` }, ['ping']))).toMatchObject({
      ok: true,
      client: 'alice.example',
    });
    const before = await state();
    expect(reply(await register({ key: machine.adminKey }, 'alice.example', key))).toMatchObject({ ok: true });
    expect(await state()).toBe(before);
  });

  it('never takes over a client that exists', async () => {
    const before = await state();
    const outcome = await register({ key: machine.adminKey }, 'alice.example', await newKey('mallory'));
    expect(outcome.exitCode).toBe(12);
    expect(reply(outcome)).toMatchObject({ ok: false, exit: 'refused', what: 'client alice.example exists already' });
    expect(await state()).toBe(before);
  });

  it('completes what a crash left without a key, but not a client whose key was taken away', async () => {
    const key = await newKey('crashed');
    expect(reply(await helperRegister('crashed', key))).toMatchObject({ ok: true });
    await must(['byteback', 'client', 'revoke', 'crashed']);
    expect(reply(await helperRegister('crashed', key))).toMatchObject({ ok: true });
    await must(['byteback', 'client', 'revoke', 'crashed']);
    await writeFile('/byteback/clients/crashed/current/fs/precious', 'precious');
    const before = await state();
    expect(reply(await helperRegister('crashed', key))).toMatchObject({ ok: false, exit: 'refused' });
    expect(await state()).toBe(before);
  });

  it('works for many at the same time', async () => {
    const names = ['one', 'two', 'three', 'four', 'five', 'six'];
    const keys = await Promise.all(names.map((name) => newKey(`many-${name}`)));
    const outcomes = await Promise.all(names.map((name, index) => helperRegister(`many-${name}`, keys[index] ?? '')));
    expect(outcomes.map(reply)).toEqual(names.map((name) => ({ ok: true, client: `many-${name}` })));
    for (const name of names) expect(await registered()).toContain(`client:many-${name}`);
  });
});

describe('a name', () => {
  const names = [
    '',
    '.',
    '..',
    '/',
    'current',
    'snapshots',
    'latest',
    'alice.example/../bob.example/x',
    '../alice.example',
    'ALICE.EXAMPLE',
    'a b',
    ' a',
    'a ',
    'x;id>PWNED;',
    '$(id>PWNED)',
    '`id`',
    'h\\",environment=\\"LD_PRELOAD=evil.so',
    'h",environment="LD_PRELOAD=evil.so',
    `${'a'.repeat(64)}.example`,
    'a'.repeat(63).concat('.').repeat(3),
    '*',
    '?',
    '[a]',
    'lost+found',
    '2026-11-20T00:00+0000',
    '2026-11-20T030000Z',
    'host\\\\nname',
    'host\nname',
    'host\0name',
    'a..b',
    '.a',
    'a.',
    '-a',
    'a-',
    'con\u202etxt.exe',
    '\u0430lice.example',
    'ａlice',
    '%2e%2e%2fbob.example',
    'localhost',
    'all',
    'default',
    '127.0.0.1',
    '1.2',
    '::1',
    '_dmarc.example',
    'a:b',
    'a@b',
    '~root',
    '.new-1234',
    '.byteback',
    'client:a',
    '__proto__',
    'a\tb',
    '\u009b2J',
  ];

  it.each(names.map((name) => [JSON.stringify(name), name]))(
    '%s is refused before anything is made',
    async (_shown, name) => {
      const before = await state();
      const key = await readFile(`${machine.scratch}/mallory.pub`, 'utf8');
      const outcome = await helperRegister(name, key);
      expect([2, 12]).toContain(outcome.exitCode);
      expect(reply(outcome)).toMatchObject({ ok: false, what: expect.any(String) });
      expect(await state()).toBe(before);
      expect((await command(['ls', '/PWNED', '/usr/lib/byteback/home/PWNED'])).stdout).toBe('');
    },
  );

  it('that is bad is refused over ssh, by client add and by client invite too', async () => {
    const before = await state();
    for (const name of ['.', 'current', 'ALICE.EXAMPLE', '$(id>PWNED)', 'localhost', '../x']) {
      const overSsh = await register(
        { key: machine.adminKey },
        name,
        await readFile(`${machine.scratch}/mallory.pub`, 'utf8'),
      );
      expect([2, 12]).toContain(overSsh.exitCode);
      for (const argv of [
        ['add', name, '--key', `${machine.scratch}/mallory.pub`],
        ['invite', name],
      ]) {
        expect(await command(['byteback', 'client', ...argv])).toMatchObject({
          exitCode: 2,
          stderr: expect.stringContaining('cannot be the name of a client'),
        });
      }
    }
    expect(await state()).toBe(before);
  });

  it('of 128 characters is accepted', async () => {
    const name = `${'a'.repeat(63)}.${'b'.repeat(62)}.c`;
    expect(reply(await helperRegister(name, await newKey('long')))).toEqual({ ok: true, client: name });
  });
});

describe('a public key', () => {
  const ed25519 = 'AAAAC3NzaC1lZDI1NTE5AAAAIGZha2VrZXlmYWtla2V5ZmFrZWtleWZha2VrZXlmYWtl';
  const keys: [string, string | (() => Promise<string>)][] = [
    ['with an option', `command="bash" ssh-ed25519 ${ed25519}`],
    ['that is cut off', 'ssh-ed25519 AAAA'],
    ['that is too long', `ssh-ed25519 ${'A'.repeat(100_000)}`],
    ['that is a little too long', `ssh-ed25519 ${'A'.repeat(9000)}`],
    ["that is alice's", () => readFile(`${machine.scratch}/alice.pub`, 'utf8')],
    ["that is the admin's", () => readFile(`${machine.adminKey}.pub`, 'utf8')],
    ['that is a certificate', 'ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQ='],
    ['that is private', '-----BEGIN OPENSSH PRIVATE KEY-----'],
    ['with a tab', `ssh-ed25519\t${ed25519}`],
    ['that is a pattern', 'ssh-ed25519 AAAA+(a+)+$ x'],
    ['of two lines', `ssh-ed25519 ${ed25519}\nssh-ed25519 ${ed25519} second`],
    ['with a line feed inside its comment', `ssh-ed25519 ${ed25519} a\nssh-ed25519 ${ed25519}`],
    ['with a carriage return', `ssh-ed25519 ${ed25519} a\rssh-ed25519 ${ed25519}`],
    ['with a NUL', `ssh-ed25519 ${ed25519} a\0b`],
    ['of another inner type', `ssh-rsa ${ed25519}`],
    ['that is empty', ''],
    ['of RSA with 1024 bits', () => newKey('rsa1024', '-t', 'rsa', '-b', '1024')],
    ['with an authority mark', `cert-authority ssh-ed25519 ${ed25519}`],
    ['that is a comment', `# ssh-ed25519 ${ed25519}`],
  ];

  it.each(keys)('%s is refused, and nothing is made', async (_what, given) => {
    const key = typeof given === 'string' ? given : await given();
    const before = await state();
    const outcome = await helperRegister('pk.example', key);
    expect([2, 12]).toContain(outcome.exitCode);
    expect(reply(outcome)).toMatchObject({ ok: false, what: expect.any(String) });
    expect(await state()).toBe(before);
  });

  it('loses its comment, which cannot make it another client', async () => {
    const key = (await newKey('comment')).replace('somebody', 'x client:alice.example');
    expect(reply(await helperRegister('pk.example', key))).toMatchObject({ ok: true });
    expect((await readFile(registry, 'utf8')).split('\n').filter((line) => line.includes(blobOf(key)))).toEqual([
      `restrict,command="/usr/lib/byteback/byteback-receive" ssh-ed25519 ${blobOf(key)} client:pk.example`,
    ]);
  });

  it.each([
    ['ecdsa-256', ['-t', 'ecdsa', '-b', '256']],
    ['ecdsa-384', ['-t', 'ecdsa', '-b', '384']],
    ['ecdsa-521', ['-t', 'ecdsa', '-b', '521']],
    ['rsa-2048', ['-t', 'rsa', '-b', '2048']],
  ])('of type %s, as ssh-keygen makes it, is accepted, and logs in', async (name, options) => {
    expect(reply(await helperRegister(name, await newKey(name, ...options)))).toEqual({ ok: true, client: name });
    expect(reply(await ssh({ key: `${machine.scratch}/${name}` }, ['ping']))).toMatchObject({ ok: true, client: name });
  });
});

describe('the root helper', () => {
  const good = { verb: 'register', name: 'helper', publicKey: 'ssh-ed25519 AAAA' };
  it.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['no JSON', 'register helper'],
    ['two messages', `${JSON.stringify(good)}\n${JSON.stringify(good)}`],
    ['a NUL', Buffer.from(`${JSON.stringify(good)}\0`)],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['2 MB', `"${'x'.repeat(2_000_000)}"`],
    ['a list', '[]'],
    ['another verb', JSON.stringify({ ...good, verb: 'revoke' })],
    ['a delete', JSON.stringify({ verb: 'delete', name: 'alice.example' })],
    ['a field too many', JSON.stringify({ ...good, replace: true })],
    ['a name that is a list', JSON.stringify({ ...good, name: ['alice.example'] })],
    ['a prototype', `{"verb":"register","name":"helper","publicKey":"x","__proto__":{"replace":true}}`],
    ['an invite that is none', JSON.stringify({ verb: 'redeem', inviteBlob: 'AAAA', publicKey: 'ssh-ed25519 AAAA' })],
    [
      'an invite of a line of its own',
      JSON.stringify({ verb: 'redeem', inviteBlob: 'A\nB', publicKey: 'ssh-ed25519 AAAA' }),
    ],
    ['deep nesting', '['.repeat(100_000)],
  ])('refuses %s', async (_what, input) => {
    const before = await state();
    const outcome = await helper(input);
    expect([2, 12]).toContain(outcome.exitCode);
    expect(reply(outcome)).toMatchObject({ ok: false });
    expect(await state()).toBe(before);
  });

  it('cannot be given arguments, environment or another program', async () => {
    expect(await helper('{}', '--help')).toMatchObject({ exitCode: 1, stdout: '' });
    const user = ['setpriv', '--reuid', 'byteback', '--regid', 'byteback', '--clear-groups', '--'];
    for (const words of [
      ['NODE_OPTIONS=--require=/tmp/x', '/usr/lib/byteback/byteback-register'],
      ['-u', 'byteback', '/usr/lib/byteback/byteback-register'],
      ['-s'],
      ['-i'],
      ['/usr/lib/byteback/../byteback/byteback-register'],
      ['-E', '/usr/lib/byteback/byteback-register'],
      ['/usr/lib/byteback/node'],
      ['-l', '/bin/sh'],
    ]) {
      expect((await command([...user, 'sudo', '-n', ...words], { input: '{}', cwd: '/' })).exitCode).not.toBe(0);
    }
  });

  it("cannot register the invite's own key, nor redeem a client's or admin's", async () => {
    const key = await newKey('redeemer');
    for (const file of [`${machine.scratch}/alice.pub`, `${machine.adminKey}.pub`]) {
      const inviteBlob = blobOf(await readFile(file, 'utf8'));
      expect(reply(await helper(JSON.stringify({ verb: 'redeem', inviteBlob, publicKey: key })))).toMatchObject({
        ok: false,
        exit: 'refused',
      });
    }
  });

  it('is not led astray by what stands in the place of a client', async () => {
    await must(['ln', '-s', '/etc', '/byteback/clients/planted']);
    try {
      expect(reply(await helperRegister('planted', await newKey('planted')))).toMatchObject({ ok: false });
      expect((await command(['ls', '/etc/current', '/etc/snapshots'])).stdout).toBe('');
      expect(await registered()).not.toContain('client:planted');
    } finally {
      await rm('/byteback/clients/planted');
    }
  });
});

describe('the user byteback, wholly taken over', () => {
  const asUser = (...argv: string[]) =>
    command(['setpriv', '--reuid', 'byteback', '--regid', 'byteback', '--clear-groups', '--', ...argv], {
      input: '',
      cwd: '/',
    });

  it('can write nothing that sshd, sudo or the next log-in reads', async () => {
    const before = await state();
    for (const path of [
      ...[
        '/usr/lib/byteback/home/.ssh',
        '/usr/lib/byteback/home/.profile',
        '/etc/byteback/new',
        registry,
        '/etc/byteback/.registry.lock',
      ],
      ...[
        '/byteback/new',
        '/byteback/clients/new',
        '/byteback/clients/alice.example/new',
        '/byteback/.byteback/new',
        '/etc/sudoers.d/new',
      ],
      ...['/byteback/clients/alice.example/current/new', '/byteback/clients/alice.example/current/run.json'],
    ]) {
      expect([path, (await asUser('tee', '-a', '--', path)).exitCode]).not.toEqual([path, 0]);
      expect([
        path,
        (await asUser('mv', '-T', '--', '/byteback/clients/alice.example/current/fs', path)).exitCode,
      ]).not.toEqual([path, 0]);
    }
    expect(await state()).toBe(before);
  });

  it('cannot hold the registry up', async () => {
    const lock = await asUser('flock', '--nonblock', '/etc/byteback/.registry.lock', 'true');
    expect(lock.exitCode).not.toBe(0);
  });
});

describe.each([['an admin key'], ['the password']])('%s', (which) => {
  const credential = () => (which === 'the password' ? ('password' as const) : { key: machine.adminKey });

  it('registers a client, and the client backs up', async () => {
    const name = which === 'the password' ? 'by-password' : 'by-admin';
    expect(reply(await register(credential(), name, await newKey(name)))).toEqual({ ok: true, client: name });
    expect(reply(await ssh({ key: `${machine.scratch}/${name}` }, ['ping']))).toMatchObject({ ok: true, client: name });
  });

  it.each([
    ['a shell', [], []],
    ['a shell on a terminal', [], ['-tt']],
    ['a command', ['id'], []],
    ['bash', ['bash', '-i'], []],
    ['ping', ['ping'], []],
    ['prepare', ['prepare'], []],
    ['snapshots', ['snapshots'], []],
    ['redeem', ['redeem'], []],
    ['sftp', ['sftp'], ['-s']],
    ['rsync', ['rsync', '--server', '--sender', '-logDtpre.iLsfxC', '.', '/'], []],
    ['scp', ['scp', '-f', '/etc/passwd'], []],
    ['register with words after it', ['register', 'x'], []],
    ['environment', ['id'], ['-o', 'SetEnv=LD_PRELOAD=/tmp/x']],
  ] as const)('gives no %s', async (_what, words, flags) => {
    const outcome = await ssh(credential(), words, { flags: [...flags], input: '' });
    expect(outcome.exitCode).not.toBe(0);
    expect(outcome.stdout + outcome.stderr).not.toMatch(/uid=|root:x:|\$ $/);
  });

  it('forwards nothing', async () => {
    const forwarded = await ssh(credential(), [], { flags: ['-W', `127.0.0.1:${machine.port}`], input: '' });
    expect(forwarded.exitCode).not.toBe(0);
    expect(forwarded.stdout).not.toContain('SSH-2.0');
    for (const flags of [
      ['-R', '127.0.0.1:0:127.0.0.1:1'],
      ['-R', '/tmp/forwarded.sock:127.0.0.1:1'],
    ]) {
      expect(
        (await ssh(credential(), ['register'], { flags: ['-o', 'ExitOnForwardFailure=yes', ...flags], input: '{}' }))
          .exitCode,
      ).not.toBe(0);
    }
  });
});

describe('an invite', () => {
  const inviteFor = async (name: string, ...options: string[]): Promise<string> => {
    const outcome = await must([
      'byteback',
      'client',
      'invite',
      name,
      '--host',
      '127.0.0.1',
      '--port',
      String(machine.port),
      ...options,
    ]);
    expect(outcome.stdout).toMatch(
      new RegExp(
        `^byteback-setup-client --destination byteback@127\\.0\\.0\\.1: --port ${machine.port} --invite\n[A-Za-z0-9_-]+\n$`,
      ),
    );
    expect(outcome.stderr).toMatch(/until \d{4}-/);
    return outcome.stdout.trim();
  };
  const accept = (name: string, line: string) => acceptInvite(machine.clientToBe(name), line);

  it('lets one machine in, with the line as it was printed, once', async () => {
    const line = await inviteFor('invited.example');
    expect((await must(['byteback', 'client', 'list'])).stdout).toMatch(/invited\.example +invited until /);
    expect(await accept('invited.example', line)).toExitWith(0);
    expect(await registered()).toContain('client:invited.example');
    expect((await registered()).filter((entry) => entry.startsWith('invite:'))).toEqual([]);
    const before = await state();
    expect((await accept('thief', line)).exitCode).not.toBe(0);
    expect(await state()).toBe(before);
  });

  it('says to whoever comes second that another was first, and what to do; the admin gets an event', async () => {
    const printed = await inviteFor('second.example');
    expect(await accept('first', printed)).toExitWith(0);
    const late = await accept('second', printed);
    expect(late).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('the invite for second.example was redeemed already, by another machine'),
    });
    expect(late.stderr).toMatch(/client revoke second\.example[\s\S]*byteback events[\s\S]*--replace/);
    expect((await must(['byteback', 'events'])).stdout).toContain('redeemed already');
    // Revoked, nothing of it is left, and a new one works.
    await must(['byteback', 'client', 'revoke', 'second.example']);
    expect(await readFile(registry, 'utf8')).not.toContain('second.example');
    expect(await accept('second', await inviteFor('second.example'))).toExitWith(0);
  });

  it('takes no token from the command line, and shows none on a terminal', async () => {
    const printed = await inviteFor('secret.example');
    const { words, token } = readInvite(printed);
    const client = machine.clientToBe('secret');
    for (const form of [
      [...words, token],
      [...words.slice(0, -1), `--invite=${token}`],
    ]) {
      const refused = await client.run(...form, '--no-timer');
      expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('every user of this machine') });
      expect(refused.stderr + refused.stdout).not.toContain(token);
    }
    const file = `${machine.scratch}/secret-invite`;
    await writeFile(file, `${token}\n`, { mode: 0o644 });
    const withFile = [...words.slice(0, -1), '--invite-file', file, '--no-timer'];
    expect(await client.run(...withFile)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('others can read'),
    });
    // On a terminal, while another user looks at all command lines.
    const pattern = '/var/tmp/invite-pattern';
    await writeFile(pattern, token.slice(0, 30), { mode: 0o644 });
    const look = `while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | grep -aqF -f ${pattern} && echo seen; done`;
    const watcher = spawn('setpriv', ['--reuid=65534', '--clear-groups', 'bash', '-c', look]);
    let seen = '';
    watcher.stdout.on('data', (chunk) => {
      seen += chunk;
    });
    const terminal = spawn('script', ['-qec', `${words.join(' ')} --no-timer`, '/dev/null'], {
      env: { ...process.env, ...client.env },
    });
    let shown = '';
    let asked = false;
    terminal.stdout.on('data', (chunk) => {
      shown += chunk;
      if (asked || !shown.includes('Paste the invite')) return;
      asked = true;
      terminal.stdin.write(`${token}\r`);
    });
    const [exitCode] = await once(terminal, 'close');
    watcher.kill();
    await rm(pattern);
    expect(shown).toContain('secret.example is a client of');
    expect({ exitCode, seen }).toEqual({ exitCode: 0, seen: '' });
    expect(shown).not.toContain(token.slice(0, 30));
  });

  it('is void when a newer one is made for the same client', async () => {
    const older = await inviteFor('twice');
    const newer = await inviteFor('twice');
    expect((await accept('twice-older', older)).exitCode).not.toBe(0);
    expect(await accept('twice', newer)).toExitWith(0);
  });

  it('is redeemed by one of many who try at the same time', async () => {
    await inviteFor('raced');
    const inviteBlob = /ssh-ed25519 (\S+) invite:raced:/.exec(await readFile(registry, 'utf8'))?.[1] ?? '';
    const keys = await Promise.all([1, 2, 3, 4].map((number) => newKey(`racer${number}`)));
    const outcomes = await Promise.all(
      keys.map((publicKey) => helper(JSON.stringify({ verb: 'redeem', inviteBlob, publicKey }))),
    );
    expect(outcomes.map((outcome) => reply(outcome).ok).toSorted()).toEqual([false, false, false, true]);
    expect((await registered()).filter((entry) => entry === 'client:raced')).toHaveLength(1);
  });

  it("does not accept its own key as the client's", async () => {
    await inviteFor('own-key');
    const [, type, inviteBlob] = /(ssh-ed25519) (\S+) invite:own-key:/.exec(await readFile(registry, 'utf8')) ?? [];
    expect(
      reply(await helper(JSON.stringify({ verb: 'redeem', inviteBlob, publicKey: `${type} ${inviteBlob}` }))),
    ).toMatchObject({ ok: false, exit: 'refused' });
    expect(await registered()).not.toContain('client:own-key');
  });

  it('expires, at sshd and at the helper, and is dropped with the next change', async () => {
    const anHourAgo = { now: () => new Date(Date.now() - 3_600_000), sleep: async () => undefined };
    const options = { host: '127.0.0.1', port: machine.port, expiresInMs: 1_800_000, replace: false };
    const { line, token } = await inviteClient('late' as ClientName, options, await openServer(anHourAgo));
    const inviteBlob = /ssh-ed25519 (\S+) invite:late:/.exec(await readFile(registry, 'utf8'))?.[1] ?? '';
    expect((await accept('late', `${line}\n${token}`)).exitCode).not.toBe(0);
    const refused = reply(
      await helper(JSON.stringify({ verb: 'redeem', inviteBlob, publicKey: await newKey('late') })),
    );
    expect(refused).toMatchObject({ ok: false, exit: 'refused', why: expect.stringContaining('expired') });
    expect((await must(['ls', '/byteback/clients'])).stdout).not.toContain('late');
    expect(reply(await helperRegister('after-late', await newKey('after-late')))).toMatchObject({ ok: true });
    expect(await readFile(registry, 'utf8')).not.toContain('invite:late');
  });

  it('gives nothing but redeem', async () => {
    const line = await inviteFor('narrow');
    const { openInvite } = await import('../../src/protocol/invite.ts');
    const key = `${machine.scratch}/narrow-invite`;
    await writeFile(key, openInvite(readInvite(line).token).privateKeyFile, { mode: 0o600 });
    for (const words of [[], ['id'], ['register'], ['ping'], ['snapshots'], ['prepare']]) {
      const input =
        words[0] === 'register' ? request('narrow2', await readFile(`${machine.scratch}/late.pub`, 'utf8')) : '';
      expect((await ssh({ key }, words, { input })).exitCode).not.toBe(0);
    }
    expect(await registered()).not.toContain('client:narrow2');
  });

  it('replaces a client only when the admin said so; then the new machine has its files, and the old key is gone', async () => {
    const old = await machine.client('moved');
    const tree = `${machine.disk}/moved`;
    await mkdir(tree, { recursive: true });
    await writeFile(`${tree}/file`, 'kept');
    expect(await old.run('byteback-backup', '--source', tree)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await command(['byteback', 'client', 'invite', 'moved'])).toMatchObject({
      exitCode: 12,
      stdout: '',
      stderr: expect.stringContaining('--replace'),
    });
    const line = await inviteFor('moved', '--replace');
    expect(await old.run('byteback', 'backup', '--source', tree)).toExitWith(0);
    const name = machine.clientToBe('moved-new');
    expect(await acceptInvite(name, line)).toExitWith(0);
    expect((await old.run('byteback-backup', '--source', tree)).exitCode).not.toBe(0);
    const state = await readFile('/byteback/.byteback/clients/moved.json', 'utf8');
    expect(JSON.parse(state)).not.toHaveProperty('machineId');
    const before = await machine.snapshots('moved');
    expect(await name.run('byteback-backup', '--source', tree)).toExitWith(0);
    expect((await machine.snapshots('moved')).length).toBe(before.length + 1);
  });

  it('is not made to replace what does not exist, nor with times or hosts that make no sense', async () => {
    const before = await state();
    for (const options of [
      ['--replace'],
      ['--expires', '10s'],
      ['--expires', '1000d'],
      ['--host', 'a b'],
      ['--host', '-oProxyCommand=id'],
      ['--port', '0'],
    ]) {
      const outcome = await command(['byteback', 'client', 'invite', 'nobody', ...options]);
      expect([2, 12]).toContain(outcome.exitCode);
      expect(outcome.stdout).toBe('');
    }
    expect(await state()).toBe(before);
  });
});

describe('the clients of the server', () => {
  it('are listed, shown, and revoked', async () => {
    const web = await machine.client('shown');
    expect((await must(['byteback', 'client', 'show', 'shown'])).stdout).toMatch(
      /^client +shown\nstate +registered\nkey +ssh-ed25519 SHA256:\S{43}\nsnapshots +none\ndirectory +\/byteback\/clients\/shown\n$/,
    );
    const list = JSON.parse((await must(['byteback', 'client', 'list', '--json'])).stdout) as {
      clients: { client: string }[];
    };
    expect(list.clients).toContainEqual({
      client: 'shown',
      state: 'registered',
      snapshots: 0,
      newest: null,
      fingerprint: expect.stringMatching(/^SHA256:/),
      inviteExpires: null,
    });
    const { stdout: printed } = await must(['ssh-keygen', '-l', '-f', `${web.configDir}/key.pub`]);
    expect((await must(['byteback', 'client', 'show', 'shown'])).stdout).toContain(printed.split(' ')[1] ?? '?');
    expect(await command(['byteback', 'client', 'revoke', 'shown'])).toMatchObject({
      exitCode: 0,
      stdout: 'shown: its key taken away; its files stay\n',
    });
    expect((await web.run('byteback-backup', '--source', machine.disk)).exitCode).not.toBe(0);
    expect(await command(['byteback', 'client', 'show', 'never-seen'])).toExitWith(2);
    expect(await command(['byteback', 'client', 'revoke', 'never-seen'])).toExitWith(2);
  });

  it('are added with a key that the admin brings', async () => {
    await newKey('brought');
    expect(
      await command(['byteback', 'client', 'add', 'brought', '--key', `${machine.scratch}/brought.pub`]),
    ).toExitWith(0);
    expect(reply(await ssh({ key: `${machine.scratch}/brought` }, ['ping']))).toMatchObject({ client: 'brought' });
    await newKey('brought2');
    const again = ['byteback', 'client', 'add', 'brought', '--key', `${machine.scratch}/brought2.pub`];
    expect(await command(again)).toExitWith(12);
    expect(await command([...again, '--replace'])).toExitWith(0);
    expect((await ssh({ key: `${machine.scratch}/brought` }, ['ping'])).exitCode).not.toBe(0);
    expect(reply(await ssh({ key: `${machine.scratch}/brought2` }, ['ping']))).toMatchObject({ client: 'brought' });
  });
});
