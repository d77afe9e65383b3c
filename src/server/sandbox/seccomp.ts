import { BytebackError } from '../../errors.ts';

/**
 * The system calls that nothing in the jail needs, refused by the kernel: a program of classic BPF, as seccomp(2) takes
 * it. It is a list of what is denied: a list of what is allowed ages with every C library.
 */

/** Machines that the numbers below are known for, as `process.arch` names them. */
type Architecture = 'x64' | 'arm64';

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 of linux/audit.h. */
const auditNumbers: Readonly<Record<Architecture, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** Number of each denied call on [x86_64, aarch64] (asm/unistd_64.h, asm-generic/unistd.h); null: not there. */
const denied: Readonly<Record<string, readonly [number | null, number | null]>> = {
  // Links and devices: rsync --fake-super stores both as plain files.
  symlink: [88, null],
  symlinkat: [266, 36],
  mknod: [133, null],
  mknodat: [259, 33],
  // Mounts and roots.
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  open_tree_attr: [467, 467],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  swapon: [167, 224],
  swapoff: [168, 225],
  // Other processes and namespaces.
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kcmp: [312, 272],
  pidfd_getfd: [438, 438],
  unshare: [272, 97],
  setns: [308, 268],
  // Large doors into the kernel.
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  keyctl: [250, 219],
  add_key: [248, 217],
  request_key: [249, 218],
  fanotify_init: [300, 262],
  vmsplice: [278, 75],
  modify_ldt: [154, null],
  iopl: [172, null],
  ioperm: [173, null],
  personality: [135, 92],
  // The machine itself.
  reboot: [169, 142],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  acct: [163, 89],
  syslog: [103, 116],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  adjtimex: [159, 171],
  vhangup: [153, 58],
  lookup_dcookie: [212, 18],
};

const ioctlNumber: Readonly<Record<Architecture, number>> = { x64: 16, arm64: 29 };
const cloneNumber: Readonly<Record<Architecture, number>> = { x64: 56, arm64: 220 };
const clone3Number = 435;

/**
 * The only ioctls: is it a terminal, close on exec, do not block (the runtime of the listing), and reflink, which copies
 * between two files that are open already (FICLONE). All of btrfs' own stay out.
 */
const allowedIoctls = [0x5401, 0x5450, 0x5451, 0x5421, 0x40049409];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of linux/sched.h. */
const namespaceFlags = 0x7e020000;

// linux/bpf_common.h and linux/seccomp.h
const loadWord = 0x20;
const jumpIfEqual = 0x15;
const jumpIfAtLeast = 0x35;
const jumpIfAnyBit = 0x45;
const giveBack = 0x06;
const allow = 0x7fff0000;
const killProcess = 0x80000000;
const failWith = (errno: number) => 0x00050000 | errno;
const notPermitted = 1;
const notImplemented = 38;

/** Offsets in struct seccomp_data; the low halves of 64-bit arguments on little-endian machines, which both are. */
const offsetOf = { number: 0, architecture: 4, argument0: 16, argument1: 24 };

/** Bit that marks a call of the x32 interface, which shares the architecture's number with x86_64. */
const x32Bit = 0x40000000;

/** The filter for a machine. @throws BytebackError refused on a machine whose call numbers are not known. */
export function seccompFilter(arch: string): Buffer {
  if (arch !== 'x64' && arch !== 'arm64') {
    throw new BytebackError('refused', {
      what: 'the sandbox cannot be built on this machine',
      why: `no list of system calls is known for ${arch}`,
      fix: 'run the server on x86_64 or aarch64',
    });
  }
  const column = arch === 'x64' ? 0 : 1;
  const numbers = Object.values(denied)
    .map((pair) => pair[column])
    .filter((number) => number !== null && number !== undefined);
  return Buffer.concat([
    instruction(loadWord, offsetOf.architecture),
    instruction(jumpIfEqual, auditNumbers[arch], 1, 0),
    instruction(giveBack, killProcess),
    instruction(loadWord, offsetOf.number),
    ...(arch === 'x64'
      ? [instruction(jumpIfAtLeast, x32Bit, 0, 1), instruction(giveBack, failWith(notPermitted))]
      : []),
    ...numbers.flatMap((number) => [
      instruction(jumpIfEqual, number, 0, 1),
      instruction(giveBack, failWith(notPermitted)),
    ]),
    // Its flags lie in memory, out of a filter's sight; the C library falls back to clone.
    instruction(jumpIfEqual, clone3Number, 0, 1),
    instruction(giveBack, failWith(notImplemented)),
    instruction(jumpIfEqual, cloneNumber[arch], 0, 4),
    instruction(loadWord, offsetOf.argument0),
    instruction(jumpIfAnyBit, namespaceFlags, 0, 1),
    instruction(giveBack, failWith(notPermitted)),
    instruction(giveBack, allow),
    instruction(jumpIfEqual, ioctlNumber[arch], 0, 2 + 2 * allowedIoctls.length),
    instruction(loadWord, offsetOf.argument1),
    ...allowedIoctls.flatMap((command) => [instruction(jumpIfEqual, command, 0, 1), instruction(giveBack, allow)]),
    instruction(giveBack, failWith(notPermitted)),
    instruction(giveBack, allow),
  ]);
}

/** struct sock_filter: 16-bit code, 8-bit jumps if true and if false, 32-bit operand. */
function instruction(code: number, operand: number, ifTrue = 0, ifFalse = 0): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(operand >>> 0, 4);
  return bytes;
}
