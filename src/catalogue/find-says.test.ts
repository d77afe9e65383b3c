import { describe, expect, it } from 'vitest';
import { parseFindSays } from './find-says.ts';

describe('what find says', () => {
  // As GNU find 4.9.0 prints it with LC_ALL=C, of these very names.
  it.each([
    ["find: '/q/y\\': No such file or directory': Permission denied", "/q/y': No such file or directory"],
    ["find: '/q/x\": Permission denied': Input/output error", '/q/x": Permission denied'],
    ["find: '/q/\\303\\251': Stale file handle", '/q/\xc3\xa9'],
    ["find: '/q/b\\\\s': Permission denied", '/q/b\\s'],
    ["find: '/q/a\\nb': Transport endpoint is not connected", '/q/a\nb'],
  ])('%s', (line, path) => {
    const why = line.slice(line.lastIndexOf(': ') + 2);
    expect(parseFindSays(`${line}\n`)).toEqual({ unlooked: [{ path, why, isLoop: false }] });
  });

  it('does not tell what vanished, tells loops, and stops trusting at a line that it does not know', () => {
    const said = [
      "find: '/q/a': No such file or directory",
      "find: File system loop detected; '/q/b/loop' is part of the same file system loop as '/q'.",
    ];
    const loop = { path: '/q/b/loop', why: 'it leads back to a directory that it lies in', isLoop: true };
    expect(parseFindSays(said.join('\n'))).toEqual({ unlooked: [loop] });
    expect(parseFindSays([...said, "find: '/q/tor"].join('\n'))).toEqual({
      unlooked: [loop],
      unknown: "find: '/q/tor",
    });
  });
});
