import { BytebackError, reasonOf } from '../../errors.ts';
import type { Log } from '../../system/log.ts';

/** One thing that set-up brings about. What is already so is left alone. */
export interface Step {
  /** One or two words: "file system". */
  readonly title: string;
  /**
   * What has to be done, as a person would say it ("make the user byteback"), or undefined when nothing has to be.
   * It changes nothing. It throws when set-up cannot or must not go on.
   */
  check(): Promise<string | undefined>;
  /** Does it; afterwards `check` finds nothing left to do. */
  act(): Promise<void>;
}

const titleWidth = 13;
const lineWidth = 79;

/** A line of set-up's output: the title in a column of its own, what is said beside it, at most 79 columns wide. */
export function stepLine(title: string, text: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last === '') lines[lines.length - 1] = word;
    else if (titleWidth + last.length + 1 + word.length <= lineWidth) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  // The log indents further lines by two columns itself.
  return title.padEnd(titleWidth) + lines.join(`\n${' '.repeat(titleWidth - 2)}`);
}

/**
 * Takes the steps in order; each is said before it acts, and checked again afterwards.
 * @returns how many of them had something to do.
 * @throws BytebackError of the step that failed; what was done before stays, and a repeat goes on from there.
 */
export async function takeSteps(steps: readonly Step[], log: Log, dryRun: boolean): Promise<number> {
  let changed = 0;
  for (const step of steps) {
    const todo = await explained(step, () => step.check());
    if (todo === undefined) {
      log.step(stepLine(step.title, 'ok'));
      continue;
    }
    changed += 1;
    log.step(stepLine(step.title, dryRun ? `would ${todo}` : todo));
    if (dryRun) continue;
    await explained(step, () => step.act());
    const left = await explained(step, () => step.check());
    if (left !== undefined) {
      throw new BytebackError('bug', {
        what: `set-up failed at: ${step.title}`,
        why: `it was done, and yet there is still to do: ${left}`,
        fix: 'run byteback-setup-server --debug again, and report what it shows',
      });
    }
  }
  return changed;
}

/**
 * Looks at all steps before the first is taken, so that what can be known to be impossible is refused before anything is
 * made. @throws BytebackError of the first step that set-up must not go on with.
 */
export async function lookAhead(steps: readonly Step[]): Promise<void> {
  for (const step of steps) await explained(step, () => step.check());
}

/** A failed program says little by itself: the step is named, and what to do. */
async function explained<Result>(step: Step, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof BytebackError && error.exit !== 'bug') throw error;
    const why = error instanceof BytebackError ? (error.explanation.why ?? error.explanation.what) : reasonOf(error);
    throw new BytebackError(
      'bug',
      {
        what: `set-up failed at: ${step.title}`,
        why,
        fix: 'correct it, then run byteback-setup-server again: it goes on where it stopped',
      },
      { cause: error },
    );
  }
}
