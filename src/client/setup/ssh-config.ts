import SSHConfig, { type Line, type Section } from 'ssh-config';
import type { ClientPaths } from '../../config/paths.ts';
import type { Destination } from '../../protocol/destination.ts';

/** One line of ssh_config(5): its name and value. */
export type Directive = readonly [name: string, value: string];

/** One `Host` block. */
export interface HostBlock {
  readonly host: string;
  readonly directives: readonly Directive[];
}

/** Only these are put right when an existing file has them otherwise; everything else that an admin changed stays. */
const enforced: ReadonlySet<string> = new Set(['user', 'identityfile', 'userknownhostsfile', 'hostkeyalias']);

const heading = `# Made by byteback-setup-client; every ssh and rsync call of byteback uses this file and no other.
# What you add or change here stays when set-up runs again (ProxyJump, another port, …).
`;

/**
 * The block for the server. ControlMaster is not in it: each run shares one connection by a private socket of its own.
 * @param route what leads to the server besides its name: HostName, Port, ProxyJump and the like.
 */
export function serverBlock(destination: Destination, route: readonly Directive[], paths: ClientPaths): HostBlock {
  const directives: Directive[] = [
    ...route,
    ['User', destination.user],
    // The pinned key is found by this name, whatever address or port leads to the server.
    ['HostKeyAlias', destination.host],
    ['UserKnownHostsFile', paths.knownHosts],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['StrictHostKeyChecking', 'yes'],
    ['UpdateHostKeys', 'no'],
    ['IdentityFile', paths.key],
    ['IdentitiesOnly', 'yes'],
    ['IdentityAgent', 'none'],
    ['PreferredAuthentications', 'publickey'],
    ['BatchMode', 'yes'],
    ['RequestTTY', 'no'],
    ['ForwardAgent', 'no'],
    ['ForwardX11', 'no'],
    ['PermitLocalCommand', 'no'],
    ['ConnectTimeout', '30'],
    ['ServerAliveInterval', '30'],
    ['ServerAliveCountMax', '4'],
    // rsync compresses what is worth it; AES-GCM is the fastest cipher where the processor knows AES.
    ['Compression', 'no'],
    ['Ciphers', '^aes128-gcm@openssh.com,aes256-gcm@openssh.com'],
  ];
  return { host: destination.host, directives };
}

/** What set-up makes of an ssh_config: its new text, and in words what differs from the one that was there. */
export interface MergedConfig {
  readonly text: string;
  readonly changes: readonly string[];
}

/**
 * Brings blocks into a configuration: a block that is missing is added, a line that is missing is added to its block,
 * and only what byteback cannot do without, or what the person asked for now, is changed.
 * @param asked names of directives that the person gave on this command line.
 */
export function mergeSshConfig(
  existing: string | undefined,
  blocks: readonly HostBlock[],
  asked: readonly string[] = [],
): MergedConfig {
  const changes: string[] = [];
  const config = SSHConfig.parse(existing ?? heading);
  const mustBe = new Set([...enforced, ...asked.map((name) => name.toLowerCase())]);
  for (const block of blocks) {
    const section = config.find((line) => isSectionOf(line, block.host)) as Section | undefined;
    if (section === undefined) {
      changes.push(`adds the host ${block.host}`);
      insertBlock(config, block);
    } else {
      changes.push(...mergeDirectives(section, block, mustBe));
    }
  }
  return { text: SSHConfig.stringify(config), changes: existing === undefined ? [] : changes };
}

/** True when a path needs no quoting in ssh_config, in rsync's -e and in a crontab: what byteback asks of its directories. */
export function isPlainPath(path: string): boolean {
  return /^\/[A-Za-z0-9_./+@:,=-]*$/.test(path);
}

function isSectionOf(line: Line, host: string): boolean {
  if (line.type !== SSHConfig.DIRECTIVE || line.param.toLowerCase() !== 'host') return false;
  const patterns = typeof line.value === 'string' ? [line.value] : line.value.map(({ val }) => val);
  return patterns.includes(host);
}

/** ssh takes the first value that it finds, so that a new block has to stand before any that matches everything. */
function insertBlock(config: SSHConfig, block: HostBlock): void {
  const general = config.findIndex(
    (line) => line.type === SSHConfig.DIRECTIVE && (line.param.toLowerCase() === 'match' || isSectionOf(line, '*')),
  );
  const at = general < 0 ? config.length : general;
  config.splice(at, 0, ...SSHConfig.parse(blockText(block)));
}

function blockText({ host, directives }: HostBlock): string {
  return `\nHost ${host}\n${directives.map((directive) => `    ${lineOf(directive)}\n`).join('')}`;
}

function lineOf([name, value]: Directive): string {
  return `${name} ${value}`;
}

function mergeDirectives(section: Section, block: HostBlock, mustBe: ReadonlySet<string>): string[] {
  const changes: string[] = [];
  for (const [name, value] of block.directives) {
    const sameName = section.config.filter(
      (line) => line.type === SSHConfig.DIRECTIVE && line.param.toLowerCase() === name.toLowerCase(),
    );
    const first = sameName[0];
    if (first === undefined || first.type !== SSHConfig.DIRECTIVE) {
      // A block may name its route by HostName and Port or not at all: an admin's ProxyCommand goes before our ProxyJump.
      if (name === 'ProxyJump' && hasDirective(section, 'ProxyCommand')) continue;
      if (name === 'ProxyCommand' && hasDirective(section, 'ProxyJump')) continue;
      changes.push(`adds ${name} ${value} to the host ${block.host}`);
      // Before the empty lines and comments at the block's end, which belong to what follows.
      let at = section.config.length;
      while (at > 0 && section.config[at - 1]?.type !== SSHConfig.DIRECTIVE) at -= 1;
      const last = section.config[at - 1];
      const end = last?.after.replace(/^(?:\r?\n)?/, '') ?? '';
      if (last !== undefined) last.after = '\n';
      section.config.splice(at, 0, ...SSHConfig.parse(`    ${lineOf([name, value])}\n${end}`));
    } else if (mustBe.has(name.toLowerCase()) && !sameName.some((line) => hasValue(line, value))) {
      changes.push(`changes ${name} of the host ${block.host} to ${value}`);
      first.value = value;
      first.quoted = false;
    }
  }
  return changes;
}

function hasDirective(section: Section, name: string): boolean {
  return section.config.some(
    (line) => line.type === SSHConfig.DIRECTIVE && line.param.toLowerCase() === name.toLowerCase(),
  );
}

function hasValue(line: Line, value: string): boolean {
  if (line.type !== SSHConfig.DIRECTIVE) return false;
  return (typeof line.value === 'string' ? line.value : line.value.map(({ val }) => val).join(' ')) === value;
}
