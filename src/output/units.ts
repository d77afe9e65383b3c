const sizeUnits = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** "1 byte", "999 bytes", "1.5 MiB", "12 GiB": three digits at most. */
export function sizeInWords(bytes: number): string {
  let value = Math.abs(bytes);
  let unit = 0;
  // 999.5 would be shown as 1000 with three digits: the next unit then.
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < sizeUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  const number = unit === 0 ? String(value) : String(Number(value.toFixed(digits)));
  return `${bytes < 0 ? '-' : ''}${number} ${unit === 0 && value === 1 ? 'byte' : sizeUnits[unit]}`;
}

/** "1.5 MiB/s". */
export function rateInWords(bytesPerSecond: number): string {
  return `${sizeInWords(Math.round(bytesPerSecond))}/s`;
}

/** "40 ms", "1.5 s", "2 min 5 s", "3 h 20 min", "4 d 6 h": two units at most. */
export function durationInWords(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9950) return `${Number((ms / 1000).toFixed(1))} s`;
  let rest = Math.round(ms / 1000);
  // The second unit decides how far the whole is rounded: days are not told to the second.
  if (rest >= 86_400) rest = Math.round(rest / 3600) * 3600;
  else if (rest >= 3600) rest = Math.round(rest / 60) * 60;
  const parts: [number, string][] = [
    [Math.floor(rest / 86_400), 'd'],
    [Math.floor(rest / 3600) % 24, 'h'],
    [Math.floor(rest / 60) % 60, 'min'],
    [rest % 60, 's'],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  return parts
    .slice(first, first + 2)
    .filter(([number]) => number > 0)
    .map(([number, unit]) => `${number} ${unit}`)
    .join(' ');
}

/** "0:07", "12:34", "1:02:03": for progress, where the width must not jump. */
export function clockOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const two = (number: number) => String(number).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}:${two(seconds % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** "1,204". */
export function numberInWords(number: number): string {
  return String(number).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

/** "1 file", "2 files". */
export function countInWords(count: number, one: string, many = `${one}s`): string {
  return `${numberInWords(count)} ${count === 1 ? one : many}`;
}

/** "2026-11-20 03:00:07", in the machine's own time zone. */
export function timeInWords(time: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
