import { statfsSync } from 'node:fs';

const overlayMagic = 0x794c7630;

/** These tests make users, change sudoers and sshd, mount and unmount: never on the machine that somebody works on. */
export function setup(): void {
  if (process.env['BYTEBACK_PRIVATE_MACHINE'] !== 'yes' || statfsSync('/').type !== overlayMagic) {
    throw new Error('integration tests run on a private machine only; start them with: npm run test:integration');
  }
}
