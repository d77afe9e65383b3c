import * as v from 'valibot';
import { DrilledFileSchema } from '../../protocol/messages.ts';
import { SnapshotNameSchema } from '../../protocol/names.ts';

/** What was drawn, with the checksums that the client is not told. */
export const DrawnSchema = v.strictObject({
  snapshot: SnapshotNameSchema,
  files: v.pipe(
    v.array(
      v.strictObject({
        ...DrilledFileSchema.entries,
        sha256: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
      }),
    ),
    v.maxLength(1000),
  ),
});
export type Drawn = v.InferOutput<typeof DrawnSchema>;
