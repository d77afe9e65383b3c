import { openDialogue } from './dialogue.ts';
import { run } from './run.ts';
import { type SshConnection, streamCommand } from './ssh.ts';

/** The name that stands where ssh would have a host. */
export const localHost = 'localhost';

/** The program that answers for a client on the server itself, as the user that receives: it can do no more than over ssh. */
export function localSessionArgv(
  account: { readonly uid: number; readonly gid: number },
  client: string,
): readonly [string, ...string[]] {
  return [
    'setpriv',
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    '--clear-groups',
    '--',
    ...['/usr/bin/env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8'],
    ...['/usr/lib/byteback/node', '--disable-warning=ExperimentalWarning', '/usr/lib/byteback/local.mjs'],
    client,
  ];
}

/** The same as a connection: every command starts that program. */
export function localConnection(argv: readonly [string, ...string[]]): SshConnection {
  const argvOf = (command: string): readonly [string, ...string[]] => [...argv, localHost, command];
  return {
    target: { host: localHost, configFile: '' },
    sessionArgv: argv,
    argvOf,
    alive: true,
    converse: (command, asked) => openDialogue(argvOf(command), { idleMs: 45_000, cwd: '/', ...asked }),
    close: async () => undefined,
    stream: (command, asked) => streamCommand(argvOf(command), asked),
    exec: (command, { input, timeoutMs = 600_000, signal } = {}) =>
      run(argvOf(command), {
        timeoutMs,
        cwd: '/',
        accept: Array.from({ length: 256 }, (_, code) => code),
        ...(input === undefined ? {} : { input }),
        ...(signal === undefined ? {} : { signal }),
      }),
  };
}
