/** What runs inside the jail besides rsync. Its one argument is of the server's own making; the request is on stdin. */
import { runJailed } from '../server/sandbox/jailed.ts';

process.exitCode = await runJailed(process.argv[2] ?? '', process.stdin, process.stdout);
