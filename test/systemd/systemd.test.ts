import { appendFile, chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';

// systemd is the first process here: the units run as it starts them, closed as they say, with work to do.
let machine: InstalledMachine;
let tree: string;
const mailbox = '/var/local/mailbox';
const web1 = '/byteback/clients/web1';

async function property(unit: string, name: string): Promise<string> {
  return (await must(['systemctl', 'show', '--value', `--property=${name}`, unit])).stdout.trim();
}

/** Starts a unit, waits for its end, and gives its log of this start. */
async function start(unit: string): Promise<{ result: string; status: string; log: string }> {
  await command(['systemctl', 'start', unit]);
  const invocation = await property(unit, 'InvocationID');
  // What a program wrote last may reach the journal after its end.
  await must(['journalctl', '--sync']);
  const { stdout } = await must(['journalctl', '--no-pager', '--output=cat', `_SYSTEMD_INVOCATION_ID=${invocation}`]);
  return { result: await property(unit, 'Result'), status: await property(unit, 'ExecMainStatus'), log: stdout };
}

async function until<T>(what: () => Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < 200; i += 1) {
    const found = await what();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it did not come: ${what.toString()}`);
}

const mails = () => readFile(mailbox, 'utf8').catch(() => '');
const snapshots = () => machine.snapshots('web1');

async function dropIn(unit: string, text: string): Promise<void> {
  await mkdir(`/etc/systemd/system/${unit}.d`, { recursive: true });
  await writeFile(`/etc/systemd/system/${unit}.d/test.conf`, text);
  await must(['systemctl', 'daemon-reload']);
}

beforeAll(async () => {
  await mkdir('/var/local', { recursive: true });
  await writeFile('/usr/sbin/sendmail', `#!/bin/sh\nexec cat >>${mailbox}\n`);
  await chmod('/usr/sbin/sendmail', 0o755);
  machine = await installedMachine({ size: '1G' });
  tree = join(machine.disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'one\n');
  await must([
    'byteback-setup-client',
    ...['--destination', 'byteback@127.0.0.1:', '--port', String(machine.port), '--identity', machine.adminKey],
    ...['--hostname', 'web1', '--accept-new', '--source', tree],
  ]);
  await mkdir('/srv/www');
  await appendFile(
    '/etc/byteback/server.toml',
    `
[page]
output = "/srv/www/index.html"
[metrics]
output = "/srv/www/byteback.prom"
[client.web1]
report = "reports@example.net"
`,
  );
  // A minute after a wake is too long for a test.
  for (const unit of ['byteback-backup.service', 'byteback-drill.service'])
    await dropIn(unit, '[Service]\nEnvironment=BYTEBACK_WAIT_STEP=0.2\n');
});

afterAll(async () => {
  await machine?.dispose();
});

describe('set-up under systemd', () => {
  it('enables the timers of a client and of a server', async () => {
    const { stdout } = await must(['systemctl', 'list-timers', '--all', '--no-legend', 'byteback-*']);
    const timers = [...stdout.matchAll(/byteback-(\w+)\.timer/g)].map(([, name]) => name).toSorted();
    expect(timers).toEqual(['backup', 'drill', 'prune', 'report', 'scrub']);
  });
});

describe('each unit does its work', () => {
  it('backup', async () => {
    expect(await start('byteback-backup.service')).toMatchObject({ result: 'success', status: '0' });
    const [snapshot] = await snapshots();
    expect(await readFile(`${web1}/snapshots/${snapshot}/fs${tree}/file`, 'utf8')).toBe('one\n');
  });

  it('report: after a run, without waiting for the timer', async () => {
    await until(async () => ((await mails()).includes('reports@example.net') ? true : undefined));
    expect(await start('byteback-report.service')).toMatchObject({ result: 'success', status: '0' });
  });

  it('report: as often as runs end', async () => {
    for (let i = 0; i < 8; i += 1) await must(['systemctl', 'start', 'byteback-report.service']);
  });

  it('drill', async () => {
    const { result, status, log } = await start('byteback-drill.service');
    expect({ result, status }, log).toEqual({ result: 'success', status: '0' });
  });

  it('scrub, slowed down by the kernel', async () => {
    const { result, status, log } = await start('byteback-scrub.service');
    expect({ result, status }, log).toEqual({ result: 'success', status: '0' });
    expect((await must(['byteback', 'scrub', '--list'])).stdout).toMatch(/\d/);
  });

  it('prune: deletes, and writes the page and the metrics', async () => {
    for (let i = 0; i < 3; i += 1) {
      await must(['dd', 'if=/dev/urandom', `of=${tree}/large`, 'bs=1M', 'count=60', 'status=none']);
      await must(['byteback-backup']);
      const newest = (await snapshots()).at(-1) ?? '';
      await must(['byteback', 'hold', 'web1', newest, '--reason', 'test']).catch(() =>
        must(['byteback', 'hold', 'web1', newest]),
      );
    }
    console.log((await must(['byteback', 'prune', '--list'])).stdout);
  });
});
