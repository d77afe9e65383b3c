/** What one deletion was to free and what it freed, in bytes. */
export interface Yield {
  readonly expectedBytes: number;
  readonly freedBytes: number;
}

/** So little expected says nothing: what a file system sets aside for itself is as much. */
export const leastTellingBytes = 64 * 1024;
/** A deletion that gave no more than this part of what was expected did not help. */
const helpfulPart = 0.1;
/** After so many that did not help in a row nothing more is deleted. */
const triedInVain = 2;

/** True when a deletion gave a tenth of what was expected, or less. */
export function wasInVain({ expectedBytes, freedBytes }: Yield): boolean {
  return expectedBytes >= leastTellingBytes && freedBytes <= expectedBytes * helpfulPart;
}

/** True when the last deletions, newest last, did not help: an automatic act that does not help ends itself. */
export function helpsNoMore(yields: readonly Yield[]): boolean {
  const telling = yields.filter(({ expectedBytes }) => expectedBytes >= leastTellingBytes);
  return telling.length >= triedInVain && telling.slice(-triedInVain).every(wasInVain);
}
