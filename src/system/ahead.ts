/** Something that was started before its request is known: it loads meanwhile. */
export interface Ahead<Request, Result> {
  /** Goes on with it; undefined when it was given up, or has gone on already. */
  goOn(request: Request): Promise<Result> | undefined;
}

/**
 * Starts something ahead of its request.
 * @param start what is started, with a promise of its request
 * @param limit after so many milliseconds it is given up: it gets this instead of a request, and what it says is ignored
 */
export function startAhead<Request, Result>(
  start: (request: Promise<Request>) => Promise<Result>,
  limit: { readonly afterMs: number; readonly nothing: Request },
): Ahead<Request, Result> {
  const { promise, resolve } = Promise.withResolvers<Request>();
  const result = start(promise);
  // Nobody may ever ask for it.
  result.catch(() => undefined);
  let waits = true;
  const goOn = (request: Request) => {
    if (!waits) return undefined;
    waits = false;
    clearTimeout(timer);
    resolve(request);
    return result;
  };
  const timer = setTimeout(() => goOn(limit.nothing), limit.afterMs);
  timer.unref();
  return { goOn };
}
