import { readFileSync } from 'node:fs';
import type { RsyncProgress } from './rsync-output.ts';

/** How often it is looked at. */
const pollMs = 250;

/** What an rsync that brings files has done so far. */
export interface PullMeter {
  /** Whether it has written to files. */
  readonly moved: boolean;
  stop(): void;
}

/**
 * Measures how far an rsync is by what its processes read and wrote (`/proc/PID/io`). It could say so itself, but then two of its
 * processes write onto one line, and what else they say cannot be told from how far they are.
 * @param writes whether it brings something; else it only reads what is here.
 */
export function meterPull(pid: number, writes: boolean, tell: (progress: RsyncProgress) => void): PullMeter {
  let moved = false;
  let last: { bytes: number; atMs: number } | undefined;
  let bytesPerSecond = 0;
  const look = () => {
    const receiver = childrenOf(pid).find((child) => read(`/proc/${child}/comm`).trim() === 'rsync');
    const io = ioOf(writes ? receiver : pid);
    if (io === undefined) return;
    // Bytes that went into a page of a file: a pipe has none.
    if (writes && io.dirtied > 0) moved = true;
    const bytes = writes ? io.written : io.read;
    const atMs = performance.now();
    if (last !== undefined && atMs > last.atMs) {
      const now = (Math.max(0, bytes - last.bytes) / (atMs - last.atMs)) * 1000;
      bytesPerSecond = Math.round(bytesPerSecond === 0 ? now : bytesPerSecond * 0.8 + now * 0.2);
    }
    last = { bytes, atMs };
    tell({ bytes, bytesPerSecond });
  };
  const timer = setInterval(look, pollMs);
  return {
    get moved() {
      return moved;
    },
    stop: () => clearInterval(timer),
  };
}

function childrenOf(pid: number): string[] {
  return read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean);
}

function ioOf(pid: number | string | undefined): { read: number; written: number; dirtied: number } | undefined {
  const text = pid === undefined ? '' : read(`/proc/${pid}/io`);
  const field = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return text === '' ? undefined : { read: field('rchar'), written: field('wchar'), dirtied: field('write_bytes') };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // It has ended.
    return '';
  }
}
