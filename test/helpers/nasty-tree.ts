/**
 * A tree of everything that is hard to back up. Needs root, and a real file system below it (machine.disk).
 * Names are bytes: paths are Buffers, and `bytes()` joins them.
 */
import { chmod, chown, link, lutimes, mkdir, open, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { must } from './command.ts';

/** A path below a directory, in bytes: text is taken as UTF-8. */
export function bytes(directory: string, ...parts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([Buffer.from(directory), ...parts.flatMap((part) => [Buffer.from('/'), Buffer.from(part)])]);
}

/** "caf\xe9": Latin-1, no UTF-8. */
export const invalidUtf8 = Buffer.from([0x63, 0x61, 0x66, 0xe9]);

/** Fills a new directory. The tree is the same each time but for the times that the file system sets. */
export async function makeNastyTree(root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  await Promise.all([names(root), kinds(root), links(root), rights(root), contents(root)]);
  await times(root);
}

async function names(root: string): Promise<void> {
  const directory = `${root}/names`;
  await mkdir(directory);
  const odd = [
    'with a space',
    'a\nnewline',
    '-rf',
    '--delete',
    '#hash',
    ';semicolon',
    '*?[star]',
    '\\back\\slash',
    '"quote\'',
    '$(touch x)',
    ' leading',
    'trailing ',
    'tab\t',
    'bell\u0007',
    '\u001b[31mred',
    'c1\u009b',
    'bidi\u202e',
    'ünïcödé',
    '...',
    '~',
    '+plus',
    'x'.repeat(255),
    invalidUtf8,
    Buffer.from([0xff, 0xfe]),
    '.rsync-filter',
    '.byteback',
  ];
  for (const name of odd) await writeFile(bytes(directory, name), `this is ${name.toString('hex')}\n`);
  await mkdir(bytes(directory, 'dir\nwith', invalidUtf8), { recursive: true });
  await writeFile(bytes(directory, 'dir\nwith', invalidUtf8, '-- x'), 'deep\n');
  await mkdir(`${directory}/a dir that ends in a space `);
  let deep = `${directory}/deep`;
  for (let i = 0; i < 40; i++) deep += `/level ${i}`;
  await mkdir(deep, { recursive: true });
  await writeFile(`${deep}/bottom`, 'bottom\n');
}

async function kinds(root: string): Promise<void> {
  const directory = `${root}/kinds`;
  await mkdir(directory);
  await must(['mkfifo', '-m', '0640', `${directory}/fifo`]);
  await must(['mknod', '-m', '0660', `${directory}/null`, 'c', '1', '3']);
  await must(['mknod', '-m', '0600', `${directory}/loop`, 'b', '7', '200']);
  await symlink('../contents/text', `${directory}/relative link`);
  await symlink('/etc/passwd', `${directory}/absolute link`);
  await symlink('nowhere', `${directory}/dangling link`);
  await symlink(invalidUtf8, bytes(directory, 'link to bytes'));
  await symlink('/', `${directory}/link to root`);
  await symlink('x'.repeat(2000), `${directory}/long link`);
  await mkdir(`${directory}/empty directory`);
  await writeFile(`${directory}/empty file`, '');
  await chown(`${directory}/fifo`, 1234, 5678);
}

async function links(root: string): Promise<void> {
  const directory = `${root}/links`;
  await mkdir(`${directory}/elsewhere`, { recursive: true });
  await writeFile(`${directory}/one`, 'linked three times\n');
  await link(`${directory}/one`, `${directory}/two`);
  await link(`${directory}/one`, `${directory}/elsewhere/three`);
  await writeFile(`${directory}/big one`, Buffer.alloc(2 * 1024 * 1024, 'link '));
  await link(`${directory}/big one`, `${directory}/elsewhere/big two`);
  await writeFile(`${directory}/same content, no link 1`, 'same\n');
  await writeFile(`${directory}/same content, no link 2`, 'same\n');
  await symlink('target', `${directory}/symbolic`);
  await link(`${directory}/symbolic`, `${directory}/elsewhere/symbolic too`);
  await must(['mkfifo', `${directory}/fifo`]);
  await link(`${directory}/fifo`, `${directory}/elsewhere/fifo too`);
}

async function rights(root: string): Promise<void> {
  const directory = `${root}/rights`;
  await mkdir(directory);
  const files: readonly [name: string, mode: number, uid: number, gid: number][] = [
    ['nobody may read', 0o000, 0, 0],
    ['setuid', 0o4755, 0, 0],
    ['setgid', 0o2755, 0, 42],
    ['sticky', 0o1644, 7, 7],
    ['odd owner', 0o640, 12345, 54321],
    ['highest owner', 0o600, 4_294_967_294, 4_294_967_294],
    ['world', 0o666, 65534, 65534],
  ];
  for (const [name, mode, uid, gid] of files) {
    await writeFile(`${directory}/${name}`, `${name}\n`);
    await chown(`${directory}/${name}`, uid, gid);
    await chmod(`${directory}/${name}`, mode);
  }
  for (const [name, mode, uid] of [
    ['sticky dir', 0o1777, 0],
    ['setgid dir', 0o2775, 33],
    ['closed dir', 0o000, 1000],
    ['nobody writes', 0o555, 1000],
  ] as const) {
    await mkdir(`${directory}/${name}`);
    await writeFile(`${directory}/${name}/inside`, `${name}\n`);
    await chown(`${directory}/${name}`, uid, uid);
    await chmod(`${directory}/${name}`, mode);
  }
  await writeFile(`${directory}/acl`, 'acl\n');
  await must(['setfacl', '-m', 'u:1234:rw,g:5678:r,m::rwx', `${directory}/acl`]);
  await mkdir(`${directory}/default acl`);
  await must(['setfacl', '-m', 'd:u:1234:rwx,d:g:77:rx,u:4000000000:x', `${directory}/default acl`]);
  await writeFile(`${directory}/default acl/child`, 'inherits\n');
  await writeFile(`${directory}/xattrs`, 'xattrs\n');
  await must(['setfattr', '-n', 'user.comment', '-v', 'a word', `${directory}/xattrs`]);
  await must(['setfattr', '-n', 'user.bytes', '-v', '0x00ff0a0d', `${directory}/xattrs`]);
  await must(['setfattr', '-n', 'user.empty', `${directory}/xattrs`]);
  await must(['setfattr', '-n', 'user.long', '-v', `0x${'ab'.repeat(1500)}`, `${directory}/xattrs`]);
  await must(['setfattr', '-n', 'security.byteback', '-v', 'of the system', `${directory}/xattrs`]);
  await must(['setfattr', '-n', 'trusted.byteback', '-v', 'of root', `${directory}/xattrs`]);
  await must(['setfattr', '-n', 'user.on-a-directory', '-v', 'yes', `${directory}/sticky dir`]);
  await writeFile(`${directory}/capable`, 'ping\n');
  await chmod(`${directory}/capable`, 0o755);
  await must(['setcap', 'cap_net_raw+ep', `${directory}/capable`]);
}

async function contents(root: string): Promise<void> {
  const directory = `${root}/contents`;
  await mkdir(directory);
  await writeFile(`${directory}/text`, 'plain text\n'.repeat(1000));
  await writeFile(
    `${directory}/bytes`,
    Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 31 + (i >> 8)) & 0xff)),
  );
  await writeFile(`${directory}/big`, Buffer.alloc(3 * 1024 * 1024, 'big file, in place '));
  const sparse = await open(`${directory}/sparse`, 'w');
  await sparse.write('start', 0);
  await sparse.write('middle', 8 * 1024 * 1024);
  await sparse.write('end', 16 * 1024 * 1024);
  await sparse.close();
  await writeFile(`${directory}/only a hole`, '');
  await truncate(`${directory}/only a hole`, 5 * 1024 * 1024);
}

async function times(root: string): Promise<void> {
  await must(['touch', '-d', '2001-02-03T04:05:06.123456789Z', `${root}/contents/text`]);
  await must(['touch', '-d', '2001-02-03T04:05:06.123456788Z', `${root}/contents/bytes`]);
  await utimes(`${root}/contents/big`, 0, 0);
  await must(['touch', '-d', '1960-01-01T00:00:00.5Z', `${root}/links/same content, no link 1`]);
  await must(['touch', '-d', '2100-01-01T00:00:00.999999999Z', `${root}/links/same content, no link 2`]);
  await must(['touch', '-h', '-d', '2011-11-11T11:11:11.111111111Z', `${root}/kinds/dangling link`]);
  await lutimes(`${root}/kinds/relative link`, 1, 1);
  await must(['touch', '-d', '1999-12-31T23:59:59.000000001Z', `${root}/names`]);
}
