import { receive } from '../server/receive/receive.ts';
import { version } from '../version.ts';

/** `byteback-receive`: what sshd runs for every log-in of the user byteback, whatever was asked for. */
process.umask(0o077);
process.chdir('/');
if (process.argv.length > 2) {
  process.stderr.write('byteback-receive takes no arguments: sshd starts it\n');
  process.exitCode = 2;
} else {
  // A connection that is cut must not end us before the end of the transfer is recorded.
  for (const signal of ['SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => undefined);
  // Whoever asked may have gone; what is to be recorded is recorded all the same.
  const gone = () => undefined;
  process.stderr.on('error', gone);
  process.exitCode = await receive({
    env: process.env,
    // Node makes a stream's descriptor non-blocking when it first looks at it. rsync inherits these two, so that they are
    // looked at only when no rsync needs them.
    get stdin() {
      return process.stdin;
    },
    writeOut: (text) => {
      process.stdout.on('error', gone);
      process.stdout.write(text);
    },
    writeError: (line) => {
      process.stderr.write(`${line}\n`);
    },
    version,
  });
}
