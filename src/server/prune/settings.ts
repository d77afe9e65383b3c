import * as v from 'valibot';
import { type ServerConfig, ServerConfigError } from '../../config/server-config.ts';
import { reasonOf } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { parseKeepRule } from '../../retention/keep.ts';
import type { ClientPolicy } from '../../retention/types.ts';

/** What decides how much is pruned, in the form in which it is remembered. */
const SettingsSchema = v.object({
  startPercent: v.number(),
  stopPercent: v.number(),
  keepLast: v.number(),
  clients: v.record(
    v.string(),
    v.object({ weight: v.number(), keep: v.optional(v.string()), maxAgeMs: v.optional(v.number()) }),
  ),
});
export type Settings = v.InferOutput<typeof SettingsSchema>;

/** The settings of server.toml for these clients. */
export function settingsOf(config: ServerConfig, clients: Iterable<ClientName>): Settings {
  const { startPercent, stopPercent, keepLast } = config.prune;
  return {
    startPercent,
    stopPercent,
    keepLast,
    clients: Object.fromEntries(
      [...clients].sort().map((client) => {
        const { weight, keep, maxAgeMs } = config.policyOf(client);
        const rest = { ...(keep === undefined ? {} : { keep }), ...(maxAgeMs === undefined ? {} : { maxAgeMs }) };
        return [client, { weight, ...rest }];
      }),
    ),
  };
}

/** Remembered settings, or undefined when there are none that can be read. */
export function parseSettings(remembered: unknown): Settings | undefined {
  const { success, output } = v.safeParse(SettingsSchema, remembered);
  return success ? output : undefined;
}

/** The remembered settings, for clients that they do not know filled in from the present ones. */
export function completedBy(remembered: Settings, present: Settings): Settings {
  const clients = Object.fromEntries(
    Object.entries(present.clients).map(([client, policy]) => [client, remembered.clients[client] ?? policy]),
  );
  return { ...remembered, clients };
}

/** True when the present settings say something else about the clients that both know. */
export function differ(remembered: Settings, present: Settings): boolean {
  return JSON.stringify(completedBy(remembered, present)) !== JSON.stringify(present);
}

/** @throws BytebackError usage when the keep rule of a client cannot be read. */
export function policyOf(settings: Settings, client: string): ClientPolicy {
  const { weight, keep, maxAgeMs }: Settings['clients'][string] = settings.clients[client] ?? { weight: 1 };
  try {
    return {
      weight,
      keepLast: settings.keepLast,
      ...(keep === undefined ? {} : { keep: parseKeepRule(keep) }),
      ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    };
  } catch (error) {
    throw new ServerConfigError(
      'usage',
      {
        what: `the keep rule of ${client} cannot be read`,
        why: reasonOf(error),
        fix: 'mend it in /etc/byteback/server.toml',
      },
      { cause: error },
    );
  }
}
