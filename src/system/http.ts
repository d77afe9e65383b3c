/** Calls an address and forgets the answer. @throws Error when there is none in time, or it is no 2xx; never with the address in it. */
export async function callAddress(address: string, body: object | undefined, timeoutMs: number): Promise<void> {
  const url = new URL(address);
  const headers: Record<string, string> = { 'user-agent': 'byteback' };
  // fetch takes no password in an address.
  if (url.username !== '') {
    const words = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    headers['authorization'] = `Basic ${Buffer.from(words).toString('base64')}`;
    url.username = '';
    url.password = '';
  }
  if (body !== undefined) headers['content-type'] = 'application/json';
  let status: number;
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers,
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    status = response.status;
    await response.body?.cancel();
  } catch (error) {
    const cause = (error as { cause?: { code?: unknown; message?: unknown } }).cause;
    throw new Error(`no answer from ${url.host}: ${cause?.code ?? cause?.message ?? (error as Error).name}`);
  }
  if (status < 200 || status > 299) throw new Error(`${url.host} answered ${status}`);
}
