import { describe, expect, it } from 'vitest';
import { seccompFilter } from './seccomp.ts';

const auditOf = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
type Known = keyof typeof auditOf;

/** What the kernel would do with a call: runs the filter as linux/filter.h says, independently of how it was made. */
function decide(filter: Buffer, audit: number, nr: number, args: readonly number[] = []): string {
  const word = (offset: number) => {
    if (offset === 0) return nr;
    if (offset === 4) return audit;
    return (offset - 16) % 8 === 0 ? (args[(offset - 16) / 8] ?? 0) : 0;
  };
  let accumulator = 0;
  for (let at = 0; at < filter.length / 8; at += 1) {
    const code = filter.readUInt16LE(at * 8);
    const [ifTrue, ifFalse] = [filter.readUInt8(at * 8 + 2), filter.readUInt8(at * 8 + 3)];
    const operand = filter.readUInt32LE(at * 8 + 4);
    if (code === 0x20) accumulator = word(operand) >>> 0;
    else if (code === 0x15) at += accumulator === operand ? ifTrue : ifFalse;
    else if (code === 0x35) at += accumulator >= operand ? ifTrue : ifFalse;
    else if (code === 0x45) at += (accumulator & operand) !== 0 ? ifTrue : ifFalse;
    else if (code === 0x06) {
      if (operand === 0x7fff0000) return 'allow';
      if (operand === 0x80000000) return 'kill';
      return `errno ${operand & 0xffff}`;
    } else throw new Error(`unknown code ${code}`);
  }
  throw new Error('the filter has no end');
}

const numbers = {
  x64: {
    read: 0,
    write: 1,
    clone: 56,
    execve: 59,
    ioctl: 16,
    rename: 82,
    mount: 165,
    symlink: 88,
    symlinkat: 266,
    mknod: 133,
    mknodat: 259,
    bpf: 321,
    ptrace: 101,
    keyctl: 250,
    userfaultfd: 323,
    unshare: 272,
    openat: 257,
    setxattr: 188,
  },
  arm64: {
    read: 63,
    write: 64,
    clone: 220,
    execve: 221,
    ioctl: 29,
    renameat: 38,
    mount: 40,
    symlinkat: 36,
    mknodat: 33,
    bpf: 280,
    ptrace: 117,
    keyctl: 219,
    userfaultfd: 282,
    unshare: 97,
    openat: 56,
    setxattr: 5,
  },
} as const;

describe.each(['x64', 'arm64'] as const)('the filter for %s', (arch: Known) => {
  const filter = seccompFilter(arch);
  const call = (name: string, ...args: number[]) => {
    const number = (numbers[arch] as Readonly<Record<string, number>>)[name];
    return number === undefined ? undefined : decide(filter, auditOf[arch], number, args);
  };

  it('fits into the kernel', () => {
    expect(filter.length % 8).toBe(0);
    expect(filter.length / 8).toBeLessThan(4096);
  });

  it.each(['read', 'write', 'execve', 'openat', 'rename', 'renameat', 'setxattr'])('lets %s through', (name) => {
    expect(call(name) ?? 'allow').toBe('allow');
  });

  it.each(['mount', 'symlink', 'symlinkat', 'mknod', 'mknodat', 'bpf', 'ptrace', 'keyctl', 'userfaultfd', 'unshare'])(
    'refuses %s',
    (name) => {
      expect(call(name) ?? 'errno 1').toBe('errno 1');
    },
  );

  it('refuses io_uring and the new mount calls, which have one number everywhere', () => {
    for (const number of [425, 426, 427, 428, 429, 430, 431, 432, 433, 442]) {
      expect(decide(filter, auditOf[arch], number)).toBe('errno 1');
    }
  });

  it('kills what comes from another architecture', () => {
    expect(decide(filter, arch === 'x64' ? 0x40000003 : 0x40000028, 4)).toBe('kill');
    expect(decide(filter, auditOf[arch === 'x64' ? 'arm64' : 'x64'], 1)).toBe('kill');
  });

  it('lets processes and threads be made, but no namespaces', () => {
    expect(call('clone', 0x1200011)).toBe('allow');
    expect(call('clone', 0x3d0f00)).toBe('allow');
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
      expect(call('clone', flag | 17)).toBe('errno 1');
    }
    expect(decide(filter, auditOf[arch], 435)).toBe('errno 38');
  });

  it('lets no ioctl through but a handful', () => {
    expect(call('ioctl', 3, 0x5401)).toBe('allow');
    expect(call('ioctl', 3, 0x40049409)).toBe('allow');
    // BTRFS_IOC_SNAP_CREATE, SUBVOL_CREATE, SUBVOL_SETFLAGS, FS_IOC_SETFLAGS, TIOCSTI
    for (const command of [0x50009401, 0x5000940e, 0x4008941a, 0x40086602, 0x5412]) {
      expect(call('ioctl', 3, command)).toBe('errno 1');
    }
  });
});

describe('x86_64 besides', () => {
  it('refuses the x32 calls', () => {
    expect(decide(seccompFilter('x64'), auditOf.x64, 0x40000000 + 2)).toBe('errno 1');
  });
});

describe('another machine', () => {
  it('gets no filter, and with it no jail', () => {
    expect(() => seccompFilter('riscv64')).toThrow('cannot be built');
  });
});
