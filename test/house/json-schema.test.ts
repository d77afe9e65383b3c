import { join } from 'node:path';
import { toJsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { OwnStatusSchema } from '../../src/client/status.ts';
import { ServerStatusSchema } from '../../src/report/fleet.ts';
import { exampleFleet } from '../helpers/example-fleet.ts';

const StatusSchema = v.pipe(
  v.object({ server: v.optional(ServerStatusSchema), client: v.optional(OwnStatusSchema) }),
  v.title('byteback status --json'),
  v.description(
    'How this machine stands: as a server, as a client, or both. Sizes are bytes, names in Ms are milliseconds. Keys may be added.',
  ),
);

test('docs/status.schema.json is what the program goes by; after a change: vitest -u', async () => {
  // What a schema of JSON cannot say, such as how a client may be named, is left out of it.
  const schema = toJsonSchema(StatusSchema, { typeMode: 'input', errorMode: 'ignore' });
  await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot(
    join(import.meta.dirname, '../../docs/status.schema.json'),
  );
});

test('a status fits it', () => {
  expect(v.safeParse(ServerStatusSchema, exampleFleet().status).issues).toBeUndefined();
});
