import { printable } from './printable.ts';

/** One column of a table. */
export interface Column<Row> {
  readonly title: string;
  readonly text: (row: Row) => string;
  readonly align?: 'left' | 'right';
}

/** Rows in columns, two spaces apart, without lines around them, so that awk and cut can read it, too. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = [titlesOf(columns), ...rows.map((row) => cellsOf(row, columns))];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => widthOf(line[index] ?? ''))));
  return cells.map((line) => `${alignedLine(line, columns, widths)}\n`).join('');
}

const titlesOf = <Row>(columns: readonly Column<Row>[]) => columns.map((column) => column.title.toUpperCase());
const cellsOf = <Row>(row: Row, columns: readonly Column<Row>[]) =>
  columns.map((column) => printable(column.text(row).replaceAll(/[\n\t]/g, ' ')));

/** The widths of a table that does not end yet come from so many rows. */
const rowsBeforePrinting = 1000;

/**
 * The same for rows that come one after the other, more of them than one wants to hold: the first thousand decide how wide
 * the columns are, and what is wider later moves the rest of its line.
 */
export function growingTable<Row>(
  columns: readonly Column<Row>[],
  print: (text: string) => void,
): { add(rows: readonly Row[]): void; end(): void } {
  let waiting: string[][] = [titlesOf(columns)];
  let widths: number[] | undefined;
  const flush = () => {
    widths ??= columns.map((_, index) => Math.max(...waiting.map((line) => widthOf(line[index] ?? ''))));
    const known = widths;
    print(waiting.map((line) => `${alignedLine(line, columns, known)}\n`).join(''));
    waiting = [];
  };
  return {
    add(rows) {
      for (const row of rows) waiting.push(cellsOf(row, columns));
      if (waiting.length > rowsBeforePrinting || widths !== undefined) flush();
    },
    end() {
      if (waiting.length > (widths === undefined ? 1 : 0)) flush();
    },
  };
}

function alignedLine<Row>(line: readonly string[], columns: readonly Column<Row>[], widths: readonly number[]): string {
  return line
    .map((cell, index) => {
      const padding = ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(cell)));
      return columns[index]?.align === 'right' ? padding + cell : cell + padding;
    })
    .join('  ')
    .trimEnd();
}

const combining = /\p{M}/u;
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Columns that a text takes on a terminal. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += combining.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return width;
}
