const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** "1.2 GiB", for the log. */
export function inBytes(bytes: number): string {
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${bytes < 0 ? '-' : ''}${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** "6.1 %", for the log. */
export function inPercent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : ((100 * part) / whole).toFixed(1)} %`;
}

/** Why an aim is out of reach, and how far everything that may go would come. */
export function tellShort(shortfall: string | undefined, reachableBytes: number | undefined): string | undefined {
  if (shortfall === undefined || reachableBytes === undefined) return shortfall;
  return `${shortfall}; all that may go would leave no more than ${inBytes(reachableBytes)} free`;
}
