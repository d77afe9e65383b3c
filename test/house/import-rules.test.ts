import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../src/system/run.ts';

const root = join(import.meta.dirname, '../..');

/** For a source file: what it may import, and what lint has to refuse it. */
const rules: Readonly<Record<string, { may: readonly string[]; mayNot: readonly string[] }>> = {
  'src/cli/a.ts': {
    may: ['@oclif/core', '../commands/status.ts', '../output/table.ts', '../server/store.ts', 'date-fns/format'],
    mayNot: ['chalk', 'node:child_process', 'date-fns'],
  },
  'src/cli/receive.ts': {
    may: ['../server/receive/receive.ts', '../errors.ts'],
    mayNot: ['@oclif/core', './main.ts', './base-command.ts', '../output/table.ts', '../commands/status.ts'],
  },
  'src/commands/a.ts': {
    may: ['../cli/base-command.ts', '../server/store.ts', '../client/run-backup.ts', '../output/table.ts'],
    mayNot: ['@oclif/core', '../cli/main.ts', 'node:child_process', 'chalk'],
  },
  'src/commands/client/a.ts': { may: ['../../cli/base-command.ts'], mayNot: ['../../cli/main.ts'] },
  'src/output/a.ts': { may: ['chalk'], mayNot: ['../client/run-backup.ts', '../server/store.ts', '@oclif/core'] },
  'src/client/a.ts': {
    may: ['../protocol/names.ts', '../system/run.ts', '../catalogue/scan.ts', '../report/mail.ts', 'node:fs/promises'],
    mayNot: [
      '../server/store.ts',
      '../output/table.ts',
      '../cli/main.ts',
      '../commands/backup.ts',
      'chalk',
      'node:child_process',
    ],
  },
  'src/server/a.ts': {
    may: ['../protocol/names.ts', '../retention/importance.ts'],
    mayNot: ['../client/run-backup.ts', '../output/table.ts', '@oclif/core', 'node:child_process'],
  },
  'src/server/setup/a.ts': { may: ['../store.ts'], mayNot: ['../../client/run-backup.ts'] },
  'src/report/a.ts': { may: ['../protocol/run-record.ts'], mayNot: ['../server/store.ts', '../client/run-backup.ts'] },
  'src/protocol/a.ts': { may: ['../errors.ts'], mayNot: ['../config/paths.ts', '../catalogue/scan.ts'] },
  'src/config/a.ts': { may: ['../protocol/names.ts', '../system/files.ts'], mayNot: ['../server/store.ts'] },
  'src/system/a.ts': {
    may: ['node:child_process', '../errors.ts'],
    mayNot: ['../server/store.ts', '../config/paths.ts', 'chalk'],
  },
  'src/retention/a.ts': {
    may: ['../protocol/names.ts', '../errors.ts'],
    mayNot: ['node:fs', 'node:fs/promises', '../system/clock.ts', '../server/store.ts'],
  },
  'src/catalogue/scan.ts': { may: ['node:fs/promises', '../system/run.ts'], mayNot: ['../client/run-backup.ts'] },
  'src/catalogue/compare.ts': { may: ['./entry.ts'], mayNot: ['node:path', '../system/clock.ts'] },
  'src/errors.ts': { may: [], mayNot: ['./protocol/names.ts', './system/run.ts', 'node:fs'] },
};

/** Three forms of an import, a line each, and a use so that nothing is unused. */
function sourceOf(modules: readonly string[]): string {
  const lines = modules.flatMap((from, i) => [
    `import { a${i} } from '${from}';`,
    `import type { A${i} } from '${from}';`,
    `export * from '${from}';`,
  ]);
  const uses = modules.map((_, i) => `export const b${i}: A${i} = a${i};`);
  return `${[...lines, ...uses].join('\n')}\n`;
}

let tree: string;
let lint: string;

beforeAll(async () => {
  tree = await mkdtemp(join(tmpdir(), 'byteback-house-'));
  const files: Record<string, string> = {
    'src/client/ends.ts': 'process.exit(1);\n',
    'src/cli/ends.ts': 'process.exit(1);\n',
  };
  for (const [path, { may, mayNot }] of Object.entries(rules)) files[path] = sourceOf([...may, ...mayNot]);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), text);
  }
  for (const path of ['biome.jsonc', 'packaging/lint/no-process-exit.grit']) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await copyFile(join(root, path), join(tree, path));
  }
  const biome = await run(
    [join(root, 'node_modules/.bin/biome'), 'lint', '--reporter=github', '--max-diagnostics=none', 'src'],
    { cwd: tree, accept: [1] },
  );
  lint = biome.stdout.toString();
});

afterAll(async () => {
  await rm(tree, { recursive: true, force: true });
});

describe('who may import whom', () => {
  it.each(Object.entries(rules))('%s', (path, { may, mayNot }) => {
    const refused = [...lint.matchAll(/title=lint\/style\/noRestrictedImports,file=([^,]+),line=(\d+)/g)]
      .filter((match) => match[1] === join(tree, path))
      .map((match) => Number(match[2]));
    const expected = mayNot.flatMap((_, i) => [1, 2, 3].map((form) => (may.length + i) * 3 + form));
    expect(refused.toSorted((a, b) => a - b)).toEqual(expected);
  });

  it('lets only the command line end the process', () => {
    const lines = lint.split('\n').filter((line) => line.includes('Only src/cli ends the process'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('src/client/ends.ts');
  });
});
