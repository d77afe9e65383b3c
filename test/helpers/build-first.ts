import { run } from '../../src/system/run.ts';

/** Tests of the executables test what the sources say now. */
export async function setup(): Promise<void> {
  await run([process.execPath, 'packaging/build.ts'], { cwd: `${import.meta.dirname}/../..` });
}
