import { run } from '../../src/system/run.ts';

/** Tests of the executables test what the sources say now. */
export async function setup(): Promise<void> {
  // There they were built for the packages that are installed, and another machine may be using them now.
  if (process.env['BYTEBACK_PRIVATE_MACHINE'] === 'yes') return;
  await run([process.execPath, 'packaging/build.ts'], { cwd: `${import.meta.dirname}/../..` });
}
