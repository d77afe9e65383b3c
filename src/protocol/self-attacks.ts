/**
 * What a client's key must not be able to do, tried by `byteback doctor --prove` against a living server. Each is harmless
 * should it succeed. A few of each kind: the whole table is in the tests.
 */

/** One attempt: ssh with these options and this command. */
export interface SelfAttack {
  /** In words: what it would be if it worked. */
  readonly what: string;
  /** For ssh, before the host. */
  readonly options: readonly string[];
  /** For the server; undefined for none. */
  readonly command?: string;
  /** On standard input. */
  readonly input?: string;
}

/** How one attempt ended. */
export interface AttackEnd {
  readonly exitCode: number;
  readonly stdout: string;
}

const noRun = '0'.repeat(32);
const options = '-logDtpAXrze.iLsfxCIvu';

/** @param port of sshd as it is seen from the server itself, for forwarding to it. */
export function selfAttacks(port: number): SelfAttack[] {
  const asking = (what: string, command: string, input = ''): SelfAttack => ({ what, options: [], command, input });
  return [
    asking('a shell', 'id'),
    asking('a shell behind a command', 'ping; id'),
    asking('a shell behind a new line', 'ping\nid'),
    asking('a file of the system', 'cat /etc/passwd'),
    asking('sudo', 'sudo -n /usr/lib/byteback/byteback-snapshot'),
    asking('scp', 'scp -f /etc/passwd'),
    { what: 'sftp', options: ['-s'], command: 'sftp' },
    asking('deleting what is stored', 'rm -rf current'),
    asking('rsync into any directory', `rsync --server ${options} . /tmp/`),
    asking('rsync out of any directory', `rsync --server --sender ${options} . /etc/`),
    asking('a transfer without a run', `transfer ${noRun} --server ${options} . .`),
    asking('a way out of its own directory', `transfer ${noRun} --server ${options} . ../../`),
    asking("another client's history", `restore ../../../other --server --sender ${options} . .`),
    asking('closing a run that is not open', 'complete', JSON.stringify({ run: noRun })),
    asking('registering a client', 'register', JSON.stringify({ name: 'planted', publicKey: 'none' })),
    { what: 'forwarding to a port of the server', options: ['-W', `127.0.0.1:${port}`] },
    {
      what: 'opening a port on the server',
      options: ['-o', 'ExitOnForwardFailure=yes', '-R', '127.0.0.1:0:127.0.0.1:1'],
      command: 'ping',
    },
  ];
}

/** What an attempt got, or undefined when it got nothing but a refusal. */
export function whatItGot({ exitCode, stdout }: AttackEnd): string | undefined {
  const said = stdout.trim();
  // Our own refusals are one JSON object.
  if (exitCode !== 0 && (said === '' || said.startsWith('{"ok":false'))) return undefined;
  return `exit ${exitCode}${said === '' ? '' : `: ${said.slice(0, 200)}`}`;
}
