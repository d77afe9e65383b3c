import { describe, expect, it } from 'vitest';
import { parseClientName, parseRunId, parseSnapshotName, type SnapshotName } from '../protocol/names.ts';
import { alertMail, digestMail, type ReportedRun, runReport, testMail } from './mail.ts';
import { plain } from './mail-render.ts';

const context = { server: 'vault' };
const client = parseClientName('web1.example.net');
const id = parseRunId('0123456789abcdef0123456789abcdef');
if (client === undefined || id === undefined) throw new Error('names');

const run: ReportedRun = {
  client,
  run: id,
  preparedAt: '2026-11-20T03:00:00.000Z',
  transfers: [],
  completedAt: '2026-11-20T03:02:00.000Z',
  snapshot: parseSnapshotName('2026-11-20T030200Z') as SnapshotName,
  status: 'ok',
  unread: [],
  figures: {
    durationMs: 95_000,
    wireBytes: 1_500_000,
    sentBytes: 12_000_000,
    sentFiles: 1204,
    files: 98_765,
    totalBytes: 40_000_000_000,
    retries: 0,
  },
};

describe('the report of a run', () => {
  it('says what was sent and what is in the snapshot, in 76 columns', () => {
    const { subject, text, html } = runReport(run, context);
    expect(subject).toBe('byteback vault: ok web1.example.net 2026-11-20 03:02Z: 1,204 files, 11.4 MiB');
    expect(text).toContain('web1.example.net is backed up\n2026-11-20 03:02 UTC, on vault\n');
    expect(text).toMatch(/^In the snapshot +98,765 files, 37\.3 GiB$/m);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(76);
    expect(html).toContain('98,765 files');
    // Nothing is loaded from anywhere, and nothing can be clicked.
    expect(html).not.toMatch(/https?:|<img|<a |<script|url\(/);
  });

  it('names what could not be read, at most twenty', () => {
    const unread = Array.from({ length: 25 }, (_, index) => `/srv/file${index}`);
    const { subject, text } = runReport({ ...run, status: 'partial', unread }, context);
    expect(subject).toContain('PARTIAL');
    expect(text).toContain('  /srv/file19\n  and 5 more\n');
    expect(text).not.toContain('/srv/file20');
  });

  it('is alarmed by a backup with nothing in it', () => {
    const figures = run.figures === undefined ? undefined : { ...run.figures, files: 0, totalBytes: 0 };
    const { subject, text } = runReport({ ...run, figures }, context);
    expect(subject).toContain(': EMPTY web1.example.net');
    expect(text).toContain('fix: on web1.example.net: byteback-backup --dry-run --verbose');
  });

  it('is not alarmed by an empty single source, and does not take it for the snapshot', () => {
    const figures = run.figures === undefined ? undefined : { ...run.figures, files: 0, totalBytes: 0 };
    const { subject, text } = runReport({ ...run, figures, whole: false }, context);
    expect(subject).toContain(': ok web1.example.net');
    expect(text).toMatch(/^In its sources +0 files, /m);
    expect(text).not.toContain('In the snapshot');
  });

  it('says what to do about compressed files that are sent whole each time', () => {
    const { text } = runReport({ ...run, resent: [{ path: '/var/dumps/db.sql.gz', sizeBytes: 5_000_000 }] }, context);
    expect(text).toContain('--rsyncable');
    expect(text).toContain('/var/dumps/db.sql.gz');
  });
});

describe('what came from a client', () => {
  const hostile = '<img src=x onerror=alert(1)>"\'&\u202e\u001b[31m\r\nBcc: all@example.net';

  it('cannot become HTML, a header, or a control sequence', () => {
    const mails = [
      runReport({ ...run, status: 'partial', unread: [hostile], resent: [{ path: hostile, sizeBytes: 1 }] }, context),
      alertMail(
        [{ at: '2026-11-20T03:00:00Z', kind: hostile, client: hostile, what: hostile, why: hostile, check: hostile }],
        context,
      ),
      digestMail(
        [
          {
            count: 7,
            first: { at: '2026-11-20T03:00:00Z', kind: 'refusal', what: hostile },
            lastAt: '2026-11-20T03:01:00Z',
          },
        ],
        {
          total: 7,
          since: '2026-11-20T03:00:00Z',
          until: '2026-11-20T03:02:00Z',
        },
        context,
      ),
    ];
    for (const { subject, text, html } of mails) {
      expect(html).not.toContain('<img');
      expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;');
      for (const part of [subject, text.replaceAll('\n', ''), html.replaceAll('\n', '')])
        expect(part).not.toMatch(/[\p{Cc}\p{Cf}]/u);
      expect(text).not.toMatch(/^ *Bcc:/m);
    }
  });

  it('is shown as its bytes where it is not printable', () => {
    expect(plain('a\u202eb\tc\u{1f600}ü')).toBe('a\\xe2\\x80\\xaeb\\x09c\u{1f600}ü');
  });
});

it('alerts of alike events are one line with their number', () => {
  const event = { at: '2026-11-20T03:00:00Z', kind: 'refusal', client: 'web1', what: 'prepare is refused' };
  const { text } = alertMail([event, { ...event, count: 9 }, { ...event, client: 'web2' }], context);
  expect(text.match(/prepare is refused/g)).toHaveLength(3);
  expect(text).toContain('web1 · 10 times');
});

describe('subjects', () => {
  it('sort by how bad it is, then by client and time', () => {
    const at = '2026-11-20T03:00:00Z';
    const subjects = [
      runReport(run, context),
      runReport({ ...run, status: 'partial', unread: ['/a'] }, context),
      alertMail([{ at, kind: 'run-failed', client: 'web2', what: 'the store is full' }], context),
      alertMail([{ at, kind: 'overdue', client: 'web2', what: 'no backup for 3 days' }], context),
      alertMail([{ at, kind: 'refusal', client: 'web2', what: 'refused' }], context),
      testMail(at, context),
    ].map(({ subject }) => subject);
    expect(subjects.toSorted().map((subject) => subject.split(' ')[2])).toEqual([
      'ALERT',
      'FAILED',
      'OVERDUE',
      'PARTIAL',
      'ok',
      'ok',
    ]);
  });

  it('stay short, however much a client says', () => {
    const { subject } = alertMail([{ at: '2026-11-20T03:00:00Z', kind: 'refusal', what: 'x'.repeat(5000) }], context);
    expect(subject.length).toBeLessThanOrEqual(140);
  });
});
