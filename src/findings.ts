import { BytebackError, type ExitName, reasonOf } from './errors.ts';

/** One thing that `byteback doctor` looked at. */
export interface Finding {
  /** One or two words: "sshd". */
  readonly area: string;
  /** `warning`: it works, and a person should know all the same. */
  readonly state: 'ok' | 'warning' | 'failure';
  readonly what: string;
  readonly why?: string;
  /** What to do; a command to type where there is one. */
  readonly fix?: string;
  /** The exit code's name that a failure of this kind has elsewhere. */
  readonly exit?: ExitName;
}

/** What a check found: a text when all is well, or what is not. */
export type Verdict = string | Omit<Finding, 'area'>;

/** One check: it changes nothing. */
export interface Check {
  readonly area: string;
  readonly look: () => Promise<Verdict | readonly Verdict[]>;
}

/** Looks at everything, in order; a check that throws is a finding, too, and keeps no other from being made. */
export async function examine(
  checks: readonly Check[],
  onStart: (area: string) => void = () => undefined,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { area, look } of checks) {
    onStart(area);
    try {
      const verdicts = await look();
      for (const verdict of Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : [verdicts as Verdict]) {
        findings.push(typeof verdict === 'string' ? { area, state: 'ok', what: verdict } : { area, ...verdict });
      }
    } catch (error) {
      findings.push(failureOf(area, error));
    }
  }
  return findings;
}

/** A failure in the words of what was thrown. */
function failureOf(area: string, error: unknown): Finding {
  if (!(error instanceof BytebackError)) return { area, state: 'failure', what: reasonOf(error), exit: 'usage' };
  return { area, state: 'failure', ...error.explanation, exit: error.exit === 'bug' ? 'usage' : error.exit };
}

/** What a person who asks a doctor is told in the end: 0 unless something fails; then what that failure ends with. */
export function exitOf(findings: readonly Finding[]): ExitName {
  const failure = findings.find(({ state }) => state === 'failure');
  return failure === undefined ? 'ok' : (failure.exit ?? 'usage');
}
