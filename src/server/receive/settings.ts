import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { configFromOpenText, loadServerConfig, openTextOf, type ServerConfig } from '../../config/server-config.ts';
import { BytebackError } from '../../errors.ts';
import { findUser } from '../../system/accounts.ts';
import { isMissing, replaceFile } from '../../system/files.ts';
import { version } from '../../version.ts';
import { askRoot, failureIn } from './root-helper.ts';

/**
 * server.toml is root's alone: the addresses of pings and web hooks in it are secrets, and clients come near the user that receives.
 * What that user needs of it root's helper publishes, with a mark of the file that it was read from. Who receives compares the mark
 * with the file's own (which takes no right to read it) and asks root again when it is another one: so no edit is missed.
 */
interface Published {
  readonly mark: string;
  readonly settings: string;
}

/** Tells one state of server.toml from another; undefined when there is none. */
async function markOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [version, dev, ino, size, mtimeNs, ctimeNs].join(':');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function readPublished(): Promise<Published | undefined> {
  try {
    const { mark, settings } = JSON.parse(await readFile(serverPaths.receiveSettings, 'utf8')) as Partial<Published>;
    return typeof mark === 'string' && typeof settings === 'string' ? { mark, settings } : undefined;
  } catch {
    // Not there, not for us to read, or cut off: root writes it anew.
    return undefined;
  }
}

/** Reads server.toml as root, and publishes what the receiving user may know of it unless that is so already. */
export async function loadAndPublish(): Promise<ServerConfig> {
  // Before it is read: when it changes meanwhile, the mark is that of the older one, and the next who comes asks again.
  const mark = await markOf(serverPaths.serverToml);
  const config = await loadServerConfig();
  if (mark === undefined || (await readPublished())?.mark === mark) return config;
  const account = await findUser(config.user);
  const published: Published = { mark, settings: openTextOf(config) };
  await mkdir(dirname(serverPaths.receiveSettings), { recursive: true, mode: 0o755 });
  await replaceFile(serverPaths.receiveSettings, JSON.stringify(published), {
    mode: 0o640,
    uid: 0,
    gid: account?.gid ?? 0,
  });
  return config;
}

async function fresh(): Promise<ServerConfig | undefined> {
  const [published, mark] = await Promise.all([readPublished(), markOf(serverPaths.serverToml)]);
  return published !== undefined && published.mark === mark ? configFromOpenText(published.settings) : undefined;
}

/**
 * The settings as the receiving user may know them.
 * @throws BytebackError when root's helper cannot read server.toml either; its words are for those who administer the server.
 */
export async function loadReceiveConfig(): Promise<ServerConfig> {
  const known = await fresh();
  if (known !== undefined) return known;
  const reply = await askRoot('snapshot', { verb: 'settings' });
  const settings = await fresh();
  if (settings !== undefined) return settings;
  throw new BytebackError(failureIn(reply)?.exit ?? 'refused', {
    what: "the server's settings cannot be used",
    why: 'its server.toml is missing, has an error, or changes all the time',
    fix: 'on the server, run: byteback doctor',
  });
}
