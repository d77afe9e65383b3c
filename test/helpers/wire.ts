/**
 * Talks to a server as a client's key allows, without byteback's own client: what an attacker would type, and what a
 * test needs to stop half way.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { type CommandOptions, command, must, type Outcome } from './command.ts';
import type { InstalledMachine, TestClient } from './installed-machine.ts';

export const figures = { durationMs: 1, wireBytes: 1, sentBytes: 1, sentFiles: 1, files: 1, totalBytes: 1, retries: 0 };

/** One key's way to the server. */
export interface Wire {
  /** ssh and its options, without the command. */
  readonly sshArgv: readonly string[];
  /** Runs one command on the server as sshd hands it over. */
  ask(text: string, input?: unknown, options?: CommandOptions): Promise<Outcome>;
  /** The same, with the reply read. @throws Error when it is no JSON. */
  reply(text: string, input?: unknown): Promise<Record<string, unknown>>;
  prepare(machineId?: string): Promise<string>;
  /** rsync's arguments for a push of what lies in a directory. */
  pushArgv(run: string, from: string, ...options: string[]): string[];
  push(run: string, from: string, ...options: string[]): Promise<Outcome>;
  /** Starts a push and comes back while it runs. */
  startPush(run: string, from: string, ...options: string[]): ChildProcess;
  complete(run: string): Promise<Outcome>;
  /** prepare, push, complete. Gives the snapshot's name. */
  backUp(from: string, ...options: string[]): Promise<string>;
  /** Fetches some paths of a snapshot. */
  fetch(snapshot: string, paths: readonly (string | Buffer)[], to: string, ...options: string[]): Promise<Outcome>;
}

export function wireWithKey(machine: InstalledMachine, key: string): Wire {
  const sshArgv = [
    'ssh',
    ...['-F', 'none', '-i', key, '-p', String(machine.port)],
    ...['-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no'],
    ...['-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'],
  ];
  const ask = (text: string, input?: unknown, options: CommandOptions = {}): Promise<Outcome> =>
    command([...sshArgv, 'byteback@127.0.0.1', ...(text === '' ? [] : [text])], {
      ...options,
      input: input === undefined ? '' : input instanceof Uint8Array ? input : JSON.stringify(input),
    });
  const reply = async (text: string, input?: unknown): Promise<Record<string, unknown>> => {
    const outcome = await ask(text, input);
    try {
      return JSON.parse(outcome.stdout) as Record<string, unknown>;
    } catch {
      throw new Error(`no reply to ${text}: exit ${outcome.exitCode} ${outcome.stdout} ${outcome.stderr}`);
    }
  };
  const prepare = async (machineId = '1'.repeat(64)): Promise<string> => {
    const request = { protocol: 1, version: 'test', machineId, expectedBytes: 0, files: 0 };
    const { run, ...rest } = await reply('prepare', request);
    if (typeof run !== 'string') throw new Error(`no run: ${JSON.stringify(rest)}`);
    return run;
  };
  const rsyncArgv = (remote: string, ...options: string[]) => [
    'rsync',
    ...['-aHAX', '--numeric-ids', `--rsync-path=${remote}`, '-e', sshArgv.join(' '), ...options],
  ];
  const pushArgv = (run: string, from: string, ...options: string[]) => [
    ...rsyncArgv(`transfer ${run}`, '--modify-window=-1', '--delete', '--delete-excluded', ...options),
    ...['--', from, 'byteback@127.0.0.1:.'],
  ];
  const complete = (run: string) => ask('complete', { run, status: 'ok', unread: [], figures });
  return {
    sshArgv,
    ask,
    reply,
    prepare,
    pushArgv,
    push: (run, from, ...options) => command(pushArgv(run, from, ...options)),
    startPush: (run, from, ...options) => {
      const [program = '', ...args] = pushArgv(run, from, ...options);
      return spawn(program, args, { stdio: 'ignore' });
    },
    complete,
    async backUp(from, ...options) {
      const run = await prepare();
      await must(pushArgv(run, from, ...options));
      const done = await complete(run);
      const { snapshot } = JSON.parse(done.stdout) as { snapshot?: string };
      if (snapshot === undefined) throw new Error(`no snapshot: ${done.stdout}`);
      return snapshot;
    },
    fetch: (snapshot, paths, to, ...options) =>
      command(
        [
          ...rsyncArgv(`restore ${snapshot}`, '--files-from=-', '--from0', '-r', ...options),
          ...['--', 'byteback@127.0.0.1:.', to],
        ],
        { input: Buffer.concat(paths.flatMap((path) => [Buffer.from(path), Buffer.from([0])])) },
      ),
  };
}

/** The way of a client that is set up. */
export function wireOf(machine: InstalledMachine, client: TestClient): Wire {
  return wireWithKey(machine, join(client.configDir, 'key'));
}
