import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { command, type Outcome } from '../helpers/command.ts';
import { freePort } from '../helpers/loopback-port.ts';

export interface VirtualMachineOptions {
  /** Where its files lie. */
  readonly directory: string;
  /** The first one is /dev/vda. */
  readonly disks: readonly string[];
  /** With UEFI: its memory of what to boot. Without: BIOS. */
  readonly uefiVariables: string | undefined;
  /** A kernel that is started without asking the disks. */
  readonly kernel?: { readonly file: string; readonly initrd: string; readonly root: string };
  /** The private key that it lets in as root. */
  readonly key: string;
}

/** Where the machine that runs the virtual one is seen from inside. */
export const outside = '10.0.2.2';

/** A machine without hardware acceleration, in sight of nobody but this one's loopback. */
export class VirtualMachine {
  readonly #qemu: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #serialFile: string;
  readonly #port: number;
  readonly #options: VirtualMachineOptions;

  private constructor(qemu: ChildProcess, serialFile: string, port: number, options: VirtualMachineOptions) {
    this.#qemu = qemu;
    this.#ended = once(qemu, 'exit');
    this.#serialFile = serialFile;
    this.#port = port;
    this.#options = options;
  }

  static async start(name: string, options: VirtualMachineOptions): Promise<VirtualMachine> {
    const { directory, disks, uefiVariables, kernel } = options;
    const port = await freePort();
    const serialFile = join(directory, `${name}.log`);
    const flash = (file: string, more = '') => ['-drive', `if=pflash,format=raw,file=${file}${more}`];
    const argv = [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '1024', '-display', 'none'],
      // A machine that restarts has ended.
      ...['-monitor', 'none', '-no-reboot', '-serial', `file:${serialFile}`],
      ...['-nic', `user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:${port}-:22`],
      ...(uefiVariables === undefined
        ? []
        : [...flash('/usr/share/OVMF/OVMF_CODE_4M.fd', ',readonly=on'), ...flash(uefiVariables)]),
      ...disks.flatMap((disk) => ['-drive', `file=${disk},if=virtio,format=raw,cache=unsafe`]),
      ...(kernel === undefined
        ? []
        : [
            '-kernel',
            kernel.file,
            '-initrd',
            kernel.initrd,
            '-append',
            `root=${kernel.root} rw console=ttyS0 mitigations=off`,
          ]),
    ];
    const qemu = spawn('qemu-system-x86_64', argv, { stdio: ['ignore', 'ignore', 'inherit'] });
    return new VirtualMachine(qemu, serialFile, port, options);
  }

  /** What it wrote to its serial console so far. */
  serial(): Promise<string> {
    return readFile(this.#serialFile, 'latin1').catch(() => '');
  }

  /** Runs a script of bash as root on it. */
  async run(script: string, timeoutMs = 600_000): Promise<Outcome> {
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=5'];
    const ssh = ['ssh', '-F', '/dev/null', '-i', this.#options.key, '-p', String(this.#port)];
    const argv = [
      ...ssh,
      ...options.flatMap((option) => ['-o', option]),
      'root@127.0.0.1',
      'bash --norc -euc "$(cat)"',
    ];
    return await command(argv, { input: script, timeoutMs });
  }

  /** Like `run`, for what has to work. */
  async must(script: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(script);
    if (exitCode !== 0) throw new Error(`${script}\nexited ${exitCode}\n${stdout}\n${stderr}`);
    return stdout;
  }

  /** Waits until something is there. @throws Error with the end of its console when it takes too long, or has ended. */
  async until(what: string, isThere: () => Promise<boolean>, patienceMs = 600_000): Promise<void> {
    const end = Date.now() + patienceMs;
    while (!(await isThere())) {
      if (Date.now() > end || this.#qemu.exitCode !== null)
        throw new Error(`${what}: not seen; the console ends with\n${(await this.serial()).slice(-4000)}`);
      await setTimeout(1000);
    }
  }

  async untilUp(): Promise<void> {
    await this.until('a log-in', async () => (await this.run('true', 60_000).catch(() => undefined))?.exitCode === 0);
  }

  /** Waits until it has powered off, or wants to restart. */
  async untilDown(): Promise<void> {
    await Promise.race([this.#ended, setTimeout(120_000, undefined, { ref: false })]);
    if (this.#qemu.exitCode === null) throw new Error(`it goes on:\n${(await this.serial()).slice(-4000)}`);
  }

  async powerOff(): Promise<void> {
    await this.run('systemctl poweroff');
    await this.untilDown();
  }

  async kill(): Promise<void> {
    if (this.#qemu.exitCode !== null) return;
    this.#qemu.kill('SIGKILL');
    await this.#ended;
  }
}
