import { totalmem } from 'node:os';

const gibibyte = 1024 ** 3;

/** No process in the jail needs more processor time; 2 days are some tens of terabytes. Seconds. */
const mostProcessorSeconds = 2 * 86_400;
/** rsync is three processes, Node a dozen threads. */
const mostProcesses = 256;

/**
 * The command that puts limits on a program in the jail before it becomes it. A peer words what rsync keeps in memory (filter rules, file
 * lists), and 12 sessions of it must fit into a machine where no slice holds them together: 1 GiB, or a 16th of a larger machine.
 */
export function limitedArgv(argv: readonly [string, ...string[]], totalBytes = totalmem()): [string, ...string[]] {
  const memoryBytes = Math.max(gibibyte, Math.floor(totalBytes / 16));
  // Node sets aside far more addresses than it uses; what it uses is data.
  const isNode = argv[0].endsWith('/node');
  const memory = isNode ? `--data=${2 * gibibyte}` : `--as=${memoryBytes}`;
  const others = [`--cpu=${mostProcessorSeconds}`, `--nproc=${mostProcesses}`, '--core=0'];
  return ['/usr/bin/prlimit', memory, ...others, '--', ...argv];
}
