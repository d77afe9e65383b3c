import type { Progress } from '../system/log.ts';
import { printable } from './printable.ts';
import { clockOf, rateInWords, sizeInWords } from './units.ts';

/**
 * One line of at most `columns` characters: label, bar, bytes, rate, time left, detail. What does not fit is left out, the
 * least important first.
 */
export function progressLine(progress: Progress, columns: number): string {
  const { doneBytes, totalBytes, bytesPerSecond, remainingMs } = progress;
  const width = Math.max(20, columns);
  const label = cut(oneLine(progress.label), 24);
  const known = totalBytes !== undefined && totalBytes > 0;
  // A total is an estimate: a file may grow while it is sent.
  const share = known ? Math.min(1, Math.max(0, doneBytes / totalBytes)) : 0;
  // Padded, so that the bar does not jump while the numbers change.
  const parts = [
    label,
    known ? `${String(Math.floor(share * 100)).padStart(3)} %` : '',
    known
      ? `${sizeInWords(doneBytes).padStart(8)} of ${sizeInWords(totalBytes)}`
      : doneBytes === 0
        ? ''
        : sizeInWords(doneBytes),
    bytesPerSecond === undefined ? '' : rateInWords(bytesPerSecond).padStart(10),
    remainingMs === undefined ? '' : `${clockOf(remainingMs).padStart(5)} left`,
  ].filter((part) => part !== '');
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line}  ${part}`;
    if (longer.length > width) break;
    line = longer;
  }
  const room = width - line.length - 2;
  if (known && room >= 12) {
    const bar = progressBar(share, Math.min(24, room));
    line = `${label}  ${bar}${line.slice(label.length + 1)}`;
  }
  const detail = progress.detail === undefined ? '' : oneLine(progress.detail);
  const roomForDetail = width - line.length - 2;
  return detail !== '' && roomForDetail >= 10 ? `${line}  ${cut(detail, roomForDetail)}` : line;
}

function progressBar(share: number, width: number): string {
  const inner = width - 2;
  const full = Math.floor(share * inner);
  return `[${'#'.repeat(full)}${'-'.repeat(inner - full)}]`;
}

function oneLine(text: string): string {
  return printable(text.replaceAll(/\s+/g, ' '));
}

function cut(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`;
}
