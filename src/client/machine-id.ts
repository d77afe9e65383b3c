import { createHash, randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { isMissing, writeFileAtomically } from '../system/files.ts';

/** What tells this installation from every other one, a copy of it included. */
export interface MachineFacts {
  /** Random, made once for each installation: two clients on one machine differ. */
  readonly installation: string;
  /** /etc/machine-id, or empty. */
  readonly machineId: string;
  /** The UUID of the mainboard or of the virtual machine, or empty: a cloned disk image runs on another one. */
  readonly hardware: string;
  /** When the file of the installation was born, in nanoseconds, or 0: a copied file is born when it is copied. */
  readonly bornNs: bigint;
}

/** The id that the server pins at the first run: 64 hexadecimal digits that give away none of the facts. */
export function machineIdOf(facts: MachineFacts): string {
  const lines = ['byteback machine 1', facts.installation, facts.machineId, facts.hardware.toLowerCase(), facts.bornNs];
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

/** Where the facts are read; tests name files of their own. */
export interface MachineFiles {
  readonly installationFile: string;
  readonly machineIdFile?: string;
  readonly hardwareFile?: string;
}

/** The machine's id; the file of the installation is made when it is missing. */
export async function readMachineId(files: MachineFiles): Promise<string> {
  let installation = await readTrimmed(files.installationFile);
  if (!/^[0-9a-f]{64}$/.test(installation)) {
    installation = randomBytes(32).toString('hex');
    await writeFileAtomically(files.installationFile, `${installation}\n`, { mode: 0o600 });
  }
  return machineIdOf({
    installation,
    machineId: await readTrimmed(files.machineIdFile ?? '/etc/machine-id'),
    hardware: await readTrimmed(files.hardwareFile ?? '/sys/class/dmi/id/product_uuid'),
    bornNs: (await stat(files.installationFile, { bigint: true })).birthtimeNs,
  });
}

async function readTrimmed(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    // Machines without firmware tables have none, and only root may read the UUID: what is not there is the same every time.
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'EACCES') return '';
    throw error;
  }
}
