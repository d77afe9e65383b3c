import { stat } from 'node:fs/promises';
import { readHooks } from './find-hooks.ts';
import type { Hook } from './run-hook.ts';
import { whyNotOurs } from './trust.ts';

/** A hook that does not run as it stands. */
export interface HookFinding {
  readonly what: string;
  readonly why: string;
  readonly fix: string;
  /** It may be switched off on purpose; otherwise the step that it belongs to fails. */
  readonly isPassedOver: boolean;
}

/** Those of directories. */
export async function findingsIn(directories: readonly string[]): Promise<HookFinding[]> {
  const findings: HookFinding[] = [];
  for (const directory of directories) {
    const { hooks, passedOver } = await readHooks(directory);
    findings.push(...(await findingsOfNamed(hooks)));
    for (const path of passedOver) {
      findings.push({
        what: `the hook ${path} is passed over`,
        why: 'nobody may execute it',
        fix: `chmod +x ${path}; if it is switched off on purpose, rename it to ${path}.off`,
        isPassedOver: true,
      });
    }
  }
  return findings;
}

/** @param from the file that names them, when it is not their own */
export async function findingsOfNamed(hooks: readonly Hook[], from?: string): Promise<HookFinding[]> {
  const findings: HookFinding[] = [];
  for (const hook of hooks) {
    const why = await whyNotRun(hook);
    if (why === undefined) continue;
    const what = `the hook ${hook.name} cannot be run`;
    findings.push({ what, why, fix: `correct ${from ?? hook.name}`, isPassedOver: false });
  }
  return findings;
}

async function whyNotRun({ argv: [path] }: Hook): Promise<string | undefined> {
  const why = await whyNotOurs(path);
  if (why !== undefined) return why;
  const found = await stat(path);
  if (!found.isFile()) return 'it is no file';
  return (found.mode & 0o111) === 0 ? 'nobody may execute it' : undefined;
}
