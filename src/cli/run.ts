/** What main loads once it knows that something is to be done. */
export { runCommand } from './run-command.ts';
export { withoutCommand } from './without-command.ts';
