/** A time of day, every day: "02:00±30m", "22:00-06:00", each with a time zone behind it or in the server's own. */
export interface TimeWindow {
  /** Seconds after midnight at which it opens; for a tolerance its middle. */
  readonly atSeconds: number;
  /** From the opening, or from the middle, to the first second, in seconds (0 or negative). */
  readonly fromSeconds: number;
  /** And to the last second, which is inside. */
  readonly toSeconds: number;
  /** An IANA name such as Europe/Berlin; undefined: the machine's. */
  readonly zone: string | undefined;
}

const daySeconds = 86_400;
const windowPattern =
  /^([01]\d|2[0-3]):([0-5]\d)(?:±(\d{1,3})([mh])|-([01]\d|2[0-3]):([0-5]\d))(?: ([A-Za-z][A-Za-z0-9_+/-]{0,63}))?$/;

/** What a window of `server.toml` says, or undefined when it is none. */
export function parseWindow(text: string): TimeWindow | undefined {
  const match = windowPattern.exec(text);
  if (match === null) return undefined;
  const [, hour, minute, amount, unit, endHour, endMinute, zone] = match;
  if (zone !== undefined && !isZone(zone)) return undefined;
  const atSeconds = Number(hour) * 3600 + Number(minute) * 60;
  if (amount !== undefined) {
    const tolerance = Number(amount) * (unit === 'h' ? 3600 : 60);
    return { atSeconds, fromSeconds: -tolerance, toSeconds: tolerance, zone };
  }
  const end = Number(endHour) * 3600 + Number(endMinute) * 60;
  return { atSeconds, fromSeconds: 0, toSeconds: (end - atSeconds + daySeconds) % daySeconds, zone };
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    // It throws for a name that it does not know.
    return false;
  }
}

/**
 * True when a moment lies in a window; both ends are inside, to the second. In the hour that a change to summer time
 * leaves out, a window stands as long after midnight as on any other day; in the hour that comes twice it is open twice.
 */
export function isInWindow(window: TimeWindow, now: Date): boolean {
  if (window.toSeconds - window.fromSeconds >= daySeconds) return true;
  const nowSeconds = Math.floor(now.getTime() / 1000);
  const wall = wallSeconds(now, window.zone);
  const within = (seconds: number) => seconds >= window.fromSeconds && seconds <= window.toSeconds;
  // By the clock on the wall: the window of yesterday, today or tomorrow.
  const timeOfDay = wall % daySeconds;
  if ([-daySeconds, 0, daySeconds].some((day) => within(timeOfDay + day - window.atSeconds))) return true;
  // By the time that has passed: where the wall's clock jumps over the window, it must not be lost.
  const offset = wall - nowSeconds;
  const midnight = wall - timeOfDay;
  return [-daySeconds, 0, daySeconds].some((day) => {
    const opening = midnight + day + window.atSeconds;
    const guess = opening - offset;
    const offsetThere = wallSeconds(new Date(guess * 1000), window.zone) - guess;
    // A time of day that does not exist that day is as far behind the jump as it lies in the hour that is left out.
    const instant = opening - Math.min(offset, offsetThere);
    const exists = wallSeconds(new Date((opening - offsetThere) * 1000), window.zone) === opening;
    return !exists && within(nowSeconds - instant);
  });
}

/** What the clock on the wall shows, as seconds since 1970 without a zone. */
function wallSeconds(moment: Date, zone: string | undefined): number {
  if (zone === undefined) return Math.floor(moment.getTime() / 1000) - moment.getTimezoneOffset() * 60;
  const parts = new Intl.DateTimeFormat('en', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(moment);
  const part = (type: string) => Number(parts.find((one) => one.type === type)?.value);
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second')) / 1000;
}
