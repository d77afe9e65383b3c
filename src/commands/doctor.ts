import { BaseCommand, Flags } from '../cli/base-command.ts';
import { clientChecks } from '../client/doctor.ts';
import { clientPaths, serverPaths } from '../config/paths.ts';
import { findRoles } from '../config/roles.ts';
import { loadServerConfig } from '../config/server-config.ts';
import { type Check, examine, exitOf, type Finding } from '../findings.ts';
import { countInWords } from '../output/units.ts';
import { serverChecks } from '../server/doctor.ts';
import { proveServer } from '../server/setup/proof.ts';
import { requireRoot } from '../server/status.ts';

/** `byteback doctor`. */
export class DoctorCommand extends BaseCommand {
  static override description =
    'Looks at everything that byteback needs on this machine, and says of each thing that is not well what to do. It changes ' +
    'nothing. Warnings do not count: it exits 0 unless something keeps byteback from working, and then with the code that ' +
    'the command concerned would exit with, as a rule 2.';
  static override examples = [
    { description: 'What is not well here', command: '<%= me %>' },
    { description: 'Also what is well', command: '<%= me %> --verbose' },
    {
      description: 'Attack the server, with a client that is thrown away or with this one',
      command: '<%= me %> --prove',
    },
  ];
  static override enableJsonFlag = true;
  static override flags = {
    prove: Flags.boolean({
      description:
        'also attack the server: for a shell, a forwarded port, files outside, deletions. On a server with a client that is made ' +
        'for it and deleted, and with a whole run; on a client with its own key. Its admin is told of the refusals',
    }),
  };

  async run() {
    const { flags } = await this.parse(DoctorCommand);
    const { log, clock, signal, env } = this.deps;
    const paths = clientPaths(env);
    const roles = await findRoles(paths, serverPaths.serverToml);
    const checks: Check[] = [];
    if (roles.server) {
      requireRoot();
      checks.push(...serverChecks({ log, clock }));
      if (flags.prove)
        checks.push(
          proofCheck(() => loadServerConfig().then((config) => proveServer(config, { log, clock, attack: true }))),
        );
    }
    if (roles.client) checks.push(...clientChecks(paths, { clock, signal, attack: flags.prove }));
    const findings = await examine(checks, (area) => log.progress({ label: `checking ${area}`, doneBytes: 0 }));
    log.progress(undefined);
    signal.throwIfAborted();
    this.endWith(exitOf(findings));
    this.print(doctorText(findings, flags.verbose));
    return { ok: exitOf(findings) === 'ok', findings };
  }
}

function proofCheck(prove: () => Promise<void>): Check {
  return {
    area: 'proof',
    look: async () => {
      await prove();
      return 'a whole run works, from sudo to the snapshot, and a client gets nothing else';
    },
  };
}

function doctorText(findings: readonly Finding[], all: boolean): string {
  const areaWidth = Math.max(...findings.map(({ area }) => area.length));
  const lines = findings
    .filter(({ state }) => all || state !== 'ok')
    .map(({ area, state, what, why, fix }) => {
      const indent = ' '.repeat(11 + areaWidth);
      const more = [...(why === undefined ? [] : [`why: ${why}`]), ...(fix === undefined ? [] : [`fix: ${fix}`])];
      return [`${state.padEnd(7)}  ${area.padEnd(areaWidth)}  ${what}`, ...more.map((text) => indent + text)].join(
        '\n',
      );
    });
  const count = (state: Finding['state']) => findings.filter((finding) => finding.state === state).length;
  const sum =
    count('failure') + count('warning') === 0
      ? `all ${countInWords(findings.length, 'thing')} that were looked at are well`
      : `${countInWords(count('failure'), 'failure')}, ${countInWords(count('warning'), 'warning')}, ${count('ok')} ok`;
  return [...lines, sum].join('\n');
}
