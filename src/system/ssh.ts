import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { BytebackError } from '../errors.ts';
import { type Dialogue, openDialogue } from './dialogue.ts';
import { type RunningProgram, type RunResult, run, start } from './run.ts';
import { makeTemporaryDirectory } from './temporary.ts';

/** Which server, and with what configuration. */
export interface SshTarget {
  /** `user@host`. */
  readonly host: string;
  /** Given to `ssh -F`. */
  readonly configFile: string;
  /** Added before everything else, as `-o KEY=VALUE` each: they win over the configuration file. */
  readonly options?: readonly string[];
}

/**
 * Why ssh could not do what it was asked for.
 * `unreachable` passes with time; the others need a person.
 */
export type SshFailureKind = 'unreachable' | 'hostKeyChanged' | 'hostKeyUnknown' | 'permission' | 'configuration';

/** A connection that could not be made, or was lost: exit 10 when trying again can help, 12 or 2 when it cannot. */
export class SshError extends BytebackError {
  readonly kind: SshFailureKind;
  readonly stderr: string;

  constructor(kind: SshFailureKind, host: string, stderr: string, fix: string) {
    super(kind === 'unreachable' ? 'unreachable' : kind === 'configuration' ? 'usage' : 'refused', {
      what: kind === 'permission' ? `${host} refused the log-in` : `cannot reach ${host}`,
      why: lastLine(stderr, kind),
      fix,
    });
    this.name = 'SshError';
    this.kind = kind;
    this.stderr = stderr;
  }
}

/**
 * What ssh's messages mean, each as a whole line: what the other side prints (a banner, a program's complaint about a file) comes
 * on the same stream and may hold any words. The wordings are those of OpenSSH 7 to 10.
 */
const meanings: readonly { readonly kind: SshFailureKind; readonly patterns: readonly RegExp[] }[] = [
  {
    kind: 'hostKeyChanged',
    patterns: [/^@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! +@$/, /^Offending [A-Z0-9-]+ key in \S.*:\d+$/],
  },
  {
    kind: 'hostKeyUnknown',
    patterns: [
      /^Host key verification failed\.$/,
      /^No [A-Za-z0-9-]+ host key is known for \S+ and you have requested strict checking\.$/,
      /^(?:No matching host key|Unable to negotiate with \S+ port \d+: no matching host key) /i,
    ],
  },
  {
    kind: 'permission',
    patterns: [
      /^(?:[^\s"]+: )?Permission denied(?:, please try again\.| \([a-z0-9,@.-]*\)\.?)$/,
      /^Received disconnect from \S+ port \d+:\d+: Too many authentication failures/,
      /^@ +WARNING: UNPROTECTED PRIVATE KEY FILE! +@$/,
      /^sign_and_send_pubkey: no mutual signature /,
    ],
  },
  {
    kind: 'configuration',
    patterns: [
      /^\S.*: line \d+: Bad configuration option: /,
      /^\S.*: terminating, \d+ bad configuration options?$/,
      /^Can't open user config file /,
      /^Bad owner or permissions on /,
    ],
  },
];

/**
 * Which kind of failure ssh speaks of; each of the kinds is shown by a test against a real sshd. Whatever is not known counts as
 * unreachable, because trying again does no harm.
 */
export function sshFailureKind(stderr: string): SshFailureKind {
  const lines = stderr.split(/\r?\n/).map((line) => line.trim());
  const found = meanings.find(({ patterns }) => lines.some((line) => patterns.some((pattern) => pattern.test(line))));
  return found?.kind ?? 'unreachable';
}

/** The line that says it: ssh puts the cause last, below banners and warnings. */
function lastLine(stderr: string, kind: SshFailureKind): string {
  const lines = stderr
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^@+$/.test(line));
  // Through another host (ProxyJump) the last line only says that the way ended; the one before says why.
  const cause = lines.findLast(
    (line) => !/^(?:kex_exchange_identification: )?Connection (?:closed|reset) by UNKNOWN port/.test(line),
  );
  const telling = kind === 'hostKeyChanged' ? lines.find((line) => /IDENTIFICATION HAS CHANGED/.test(line)) : undefined;
  const said =
    telling?.replaceAll('@', '').trim() ?? cause ?? lines.at(-1) ?? 'the connection was closed without a word';
  return `ssh: ${said.replace(/^ssh: /, '')}`;
}

function explain(target: SshTarget, stderr: string): SshError {
  const kind = sshFailureKind(stderr);
  const hand = `ssh -F ${target.configFile} ${target.host}`;
  const fixes: Record<SshFailureKind, string> = {
    unreachable: `check that the server is up and that sshd answers: ${hand} ping`,
    hostKeyChanged:
      'make sure that the server was really set up anew and that nobody stands between; then run byteback-setup-client again to pin its new host key',
    hostKeyUnknown: 'run byteback-setup-client again to pin the host key of the server',
    permission: `the server does not know this client's key: register it by running byteback-setup-client again, or see why: ${hand} ping`,
    configuration: `correct ${target.configFile}, or run byteback-setup-client again to write it anew`,
  };
  return new SshError(kind, target.host, stderr, fixes[kind]);
}

/** Options that every call has; on the command line, so that they win over the configuration file. */
function commonOptions(target: SshTarget): string[] {
  const options = [
    // ssh takes the first value that it is given.
    ...(target.options ?? []),
    'BatchMode=yes',
    'ForwardAgent=no',
    'ForwardX11=no',
    'ClearAllForwardings=yes',
    'PermitLocalCommand=no',
    'RequestTTY=no',
    'EscapeChar=none',
    'LogLevel=INFO',
    'ConnectTimeout=30',
    // A connection whose other end is gone is noticed within two minutes.
    'ServerAliveInterval=30',
    'ServerAliveCountMax=4',
  ];
  return ['-F', target.configFile, ...options.flatMap((option) => ['-o', option])];
}

/** Ends with its parent even when that is killed with -9: nothing of a run may go on without it. */
export const diesWithParent = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;

/** The server waits a minute for a request. */
const idleMs = 45_000;

const execTimeoutMs = 600_000;

type ExecInput = string | Uint8Array;

/** A command on the server whose answer is long. */
export interface StreamedCommand {
  readonly stdout: Readable;
  /** Ends it, when it has not ended itself. @throws SshError when the connection failed. */
  end(): Promise<{ exitCode: number; stderr: string }>;
}

/** Starts a command whose standard output is read while it runs. */
export function streamCommand(
  argv: readonly [string, ...string[]],
  { input, signal }: { input: string; signal?: AbortSignal },
): StreamedCommand {
  const program = start(argv, {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    cwd: '/',
    ...(signal === undefined ? {} : { signal }),
  });
  // When it ends early the pipe breaks; how it ended is told by its exit.
  program.stdin?.on('error', () => undefined);
  program.stdin?.end(input);
  let stderr = '';
  program.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-16_384);
  });
  const { stdout } = program;
  if (stdout === null) throw new Error('a pipe was asked for');
  return {
    stdout,
    async end() {
      // Nobody reads any more: without this it would wait for ever.
      stdout.destroy();
      const { exitCode } = await program.ended;
      return { exitCode, stderr };
    },
  };
}

/** One connection to a server; every request and every rsync is a session on it. */
export interface SshConnection {
  readonly target: SshTarget;
  /** Runs one command on the server. Exit codes up to 128 are returned; 255, and what a signal ended, are thrown as SshError. */
  exec(command: string, options?: { input?: ExecInput; timeoutMs?: number; signal?: AbortSignal }): Promise<RunResult>;
  /**
   * Starts a command that is talked to in lines: ssh and the server's side load ahead of the first one. After 45 seconds without a
   * question it is given up, before the server does so.
   * @returns a dialogue whose `ask` throws SshError when the connection fails.
   */
  converse(command: string, options: { maxLineBytes: number; signal?: AbortSignal }): Dialogue;
  /** Runs one command whose answer is read while it comes. */
  stream(command: string, options: { input: string; signal?: AbortSignal }): StreamedCommand;
  /** The same for a command that is talked to while it runs; its standard input may be a file's descriptor. */
  argvOf(command: string): readonly [string, ...string[]];
  /** The arguments of ssh that rsync's -e needs: a session on this connection. */
  readonly sessionArgv: readonly string[];
  /** False once the connection is lost. */
  readonly alive: boolean;
  close(): Promise<void>;
}

/** True for ssh's own failure, and for a session that a signal ended, here or there: 128 + n, as a shell says it. */
export function isLost(exitCode: number): boolean {
  return exitCode > 128;
}

/**
 * Opens a connection: one ssh process that holds it and a private control socket for the sessions.
 * @param options.directory where the socket is made when its path is short enough; otherwise it lies in /run or /tmp
 * @throws SshError when the server cannot be reached, its host key is wrong, or it refuses the key.
 */
export async function openSsh(
  target: SshTarget,
  options: { signal?: AbortSignal; directory?: string } = {},
): Promise<SshConnection> {
  const directory = await makeSocketDirectory(options.directory);
  const socket = join(directory, 'c');
  const control = ['-o', `ControlPath=${socket}`];
  let master: RunningProgram;
  let stderr = '';
  let ended = false;
  const close = async () => {
    if (!ended) master.kill('SIGTERM');
    // A signal that comes between ssh's look at its flag and its wait is noticed only with the next one (one in ten here).
    const again = setInterval(() => master.kill('SIGTERM'), 50);
    await master.ended;
    clearInterval(again);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    master = start(
      [
        ...diesWithParent,
        'ssh',
        ...commonOptions(target),
        ...control,
        '-o',
        'ControlMaster=yes',
        '-o',
        'ControlPersist=no',
        '-N',
        '-T',
        '--',
        target.host,
      ],
      { stderr: 'pipe', detached: true },
    );
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  master.stderr?.on('data', (chunk: Buffer) => {
    // Only the end of it is ever shown.
    stderr = (stderr + chunk.toString('utf8')).slice(-16_384);
  });
  void master.ended.then(() => {
    ended = true;
  });
  // A look costs nothing; with growing pauses a connection was noticed up to 100 ms late.
  while (!existsSync(socket)) {
    if (ended) {
      await rm(directory, { recursive: true, force: true });
      throw explain(target, stderr);
    }
    if (options.signal?.aborted) {
      await close();
      throw new BytebackError('interrupted', { what: 'interrupted' });
    }
    await sleep(5);
  }
  const sessionArgv = ['ssh', ...commonOptions(target), ...control, '-o', 'ControlMaster=no', '-T'];
  const argvOf = (command: string): readonly [string, ...string[]] => [
    'ssh',
    ...sessionArgv.slice(1),
    '--',
    target.host,
    command,
  ];
  const exec: SshConnection['exec'] = async (command, { input, timeoutMs = execTimeoutMs, signal } = {}) => {
    const result = await run(argvOf(command), {
      timeoutMs,
      accept: Array.from({ length: 256 }, (_, code) => code),
      ...(input === undefined ? {} : { input }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (isLost(result.exitCode)) throw explain(target, `${stderr}\n${result.stderr}`);
    return result;
  };
  return {
    target,
    sessionArgv,
    argvOf,
    get alive() {
      return !ended;
    },
    close,
    exec,
    converse(command, asked) {
      const dialogue = openDialogue(argvOf(command), { idleMs, ...asked });
      return {
        get isOpen() {
          return dialogue.isOpen;
        },
        end: dialogue.end,
        ended: dialogue.ended,
        async ask(line, asking) {
          const answer = await dialogue.ask(line, asking);
          if (answer !== undefined || dialogue.isOpen) return answer;
          const end = await dialogue.ended;
          if (isLost(end.exitCode)) throw explain(target, `${stderr}\n${end.stderr}`);
          return undefined;
        },
      };
    },
    stream(command, asked) {
      const streamed = streamCommand(argvOf(command), asked);
      return {
        stdout: streamed.stdout,
        async end() {
          const ended = await streamed.end();
          if (isLost(ended.exitCode)) throw explain(target, `${stderr}\n${ended.stderr}`);
          return ended;
        },
      };
    },
  };
}

/** A path for a Unix socket may have 108 bytes, and ssh adds 17 of its own while it binds. */
const longestDirectoryBytes = 108 - 17 - '/c'.length - '/ssh-XXXXXX'.length - 1;

async function makeSocketDirectory(wanted: string | undefined): Promise<string> {
  if (wanted !== undefined && Buffer.byteLength(wanted) <= longestDirectoryBytes) return mkdtemp(join(wanted, 'ssh-'));
  try {
    return await makeTemporaryDirectory('/run', 'byteback-');
  } catch {
    // Not root's run: any directory of our own does.
    return makeTemporaryDirectory(tmpdir(), 'byteback-ssh-');
  }
}
