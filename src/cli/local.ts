import { receiveLocally } from '../server/receive/receive.ts';
import { version } from '../version.ts';

/**
 * What answers `byteback-restore --client NAME` on the server: root starts it as the user that receives. It only reads,
 * and what it reads it reads in the jail. Its arguments are the client, and what ssh would be given: [-l USER] HOST WORD...
 */
process.umask(0o077);
process.chdir('/');
const [client = '', ...words] = process.argv.slice(2);
const command = words.slice(words[0] === '-l' ? 3 : 1).join(' ');
process.exitCode = await receiveLocally(client, {
  env: { SSH_ORIGINAL_COMMAND: command },
  get stdin() {
    return process.stdin;
  },
  writeOut: (text) => {
    process.stdout.write(text);
  },
  writeError: (line) => {
    process.stderr.write(`${line}\n`);
  },
  version,
});
