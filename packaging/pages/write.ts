import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readCommands } from './commands.ts';
import { bashCompletion, fishCompletions, zshCompletion } from './completions.ts';
import { configurationPage } from './configuration.ts';
import { commandPage, rootPage } from './man.ts';

/** A file of the pages: its path below the prefix (share/man/man1/byteback.1.gz), and its content or what it links to. */
export type PageFile =
  | { readonly path: string; readonly content: string | Uint8Array }
  | { readonly path: string; readonly linkTo: string };

/** The man pages as plain text, by file name. @param date of the sources, in seconds. */
export async function manPages(root: string, date: number): Promise<ReadonlyMap<string, string>> {
  const commands = await readCommands();
  const markdown = await readFile(join(root, 'docs/configuration.md'), 'utf8');
  return new Map([
    ['byteback.1', rootPage(commands, date)],
    ...commands.map((command): [string, string] => [`${command.page}.1`, commandPage(command, commands, date)]),
    ['byteback-client.toml.5', configurationPage(markdown, 'client', date)],
    ['byteback-server.toml.5', configurationPage(markdown, 'server', date)],
  ]);
}

/** Everything that is read or completed: man pages and completions, where Debian's packages have them. */
async function pageFiles(root: string, date: number): Promise<PageFile[]> {
  const commands = await readCommands();
  const bash = 'share/bash-completion/completions';
  return [
    ...[...(await manPages(root, date))].map(([name, text]): PageFile => {
      return { path: `share/man/man${name.slice(-1)}/${name}.gz`, content: gzipSync(text, { level: 9 }) };
    }),
    { path: `${bash}/byteback`, content: bashCompletion(commands) },
    // bash-completion looks for a file by the name of the program.
    ...commands
      .filter(({ executable }) => executable)
      .map(({ page }): PageFile => ({ path: `${bash}/${page}`, linkTo: 'byteback' })),
    { path: 'share/zsh/vendor-completions/_byteback', content: zshCompletion(commands) },
    ...[...fishCompletions(commands)].map(([name, content]): PageFile => {
      return { path: `share/fish/vendor_completions.d/${name}.fish`, content };
    }),
  ];
}

/** Writes all of it below a prefix, such as the usr of a package. @param date of the sources, in seconds. */
export async function writePages(root: string, prefix: string, date: number): Promise<void> {
  for (const file of await pageFiles(root, date)) {
    const path = join(prefix, file.path);
    await mkdir(dirname(path), { recursive: true });
    if ('linkTo' in file) await symlink(file.linkTo, path);
    else await writeFile(path, file.content);
  }
}
