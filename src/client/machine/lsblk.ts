import type { Device } from '../../protocol/machine.ts';

/** What `lsblk --json --bytes --output-all` says of one device; which columns there are depends on its version. */
interface LsblkNode {
  readonly [column: string]: unknown;
  readonly children?: readonly LsblkNode[];
}

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, 4096) : undefined;
const size = (value: unknown): number | undefined => {
  const number = typeof value === 'string' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
};
/** A property that is left out when it is not known. */
function known<Name extends string, Value>(name: Name, value: Value | undefined): { [name in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [name in Name]: Value });
}

/** The devices in lsblk's output, each once, what others lie on first. @throws Error when it is not lsblk's. */
export function parseLsblk(json: string): Device[] {
  const devices = new Map<string, Device>();
  const visit = (node: LsblkNode, parent: string | undefined) => {
    const path = text(node.path) ?? (text(node.name) === undefined ? undefined : `/dev/${text(node.name)}`);
    if (path === undefined) return;
    const before = devices.get(path);
    const on = [...(before?.on ?? []), ...(parent === undefined ? [] : [parent])];
    devices.delete(path);
    // Set anew: a device that lies on several comes after the last of them.
    devices.set(path, { ...deviceOf(node, path), on: [...new Set(on)] });
    for (const child of node.children ?? []) visit(child, path);
  };
  const parsed = JSON.parse(json) as { blockdevices?: readonly LsblkNode[] };
  for (const node of parsed.blockdevices ?? []) visit(node, undefined);
  return [...devices.values()];
}

function deviceOf(node: LsblkNode, path: string): Omit<Device, 'on'> {
  const type = text(node.type) ?? 'unknown';
  const fileSystem = text(node.fstype);
  const table = text(node.pttype);
  return {
    path,
    type,
    sizeBytes: size(node.size) ?? 0,
    ...(fileSystem === undefined
      ? {}
      : {
          fileSystem: {
            type: fileSystem,
            ...known('uuid', text(node.uuid)),
            ...known('label', text(node.label)),
          },
        }),
    // A partition repeats the table that it stands in.
    ...(table === undefined || type === 'part' ? {} : { table: { type: table, ...known('id', text(node.ptuuid)) } }),
    ...(type === 'part'
      ? {
          partition: {
            number: size(node.partn) ?? Number(/(\d+)$/.exec(path)?.[1] ?? 0),
            ...known('startSector', size(node.start)),
            ...known('type', text(node.parttype)),
            ...known('id', text(node.partuuid)),
            ...known('label', text(node.partlabel)),
            ...known('flags', text(node.partflags)),
          },
        }
      : {}),
  };
}

/** What `blkid --output export` found, by device: blocks of NAME=value, an empty line between them. */
export function parseBlkid(output: string): Map<string, Pick<Device, 'fileSystem' | 'table'>> {
  const found = new Map<string, Pick<Device, 'fileSystem' | 'table'>>();
  for (const block of output.split('\n\n')) {
    const values = new Map(
      block.split('\n').map((line): [string, string] => {
        const equals = line.indexOf('=');
        // A space in a value has a backslash before it.
        return [line.slice(0, equals), line.slice(equals + 1).replaceAll(/\\(.)/g, '$1')];
      }),
    );
    const [device, type, table] = [values.get('DEVNAME'), text(values.get('TYPE')), text(values.get('PTTYPE'))];
    if (device === undefined) continue;
    found.set(device, {
      ...(type === undefined
        ? {}
        : {
            fileSystem: {
              type,
              ...known('uuid', text(values.get('UUID'))),
              ...known('label', text(values.get('LABEL'))),
            },
          }),
      ...(table === undefined ? {} : { table: { type: table, ...known('id', text(values.get('PTUUID'))) } }),
    });
  }
  return found;
}
