import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/**
 * Appends whole lines to a file of lines and makes them durable. The first begins a line of its own, whatever was left half written
 * before; what could not be written whole is taken back, so that it hides nothing that comes after it.
 * @param text whole lines, each with its line end.
 */
export async function appendLines(path: string, text: string, mode = 0o600): Promise<void> {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = await open(path, flags, mode);
  try {
    const { size } = await file.stat();
    const last = Buffer.alloc(1);
    const isCut = size > 0 && (await file.read(last, 0, 1, size - 1)).bytesRead === 1 && last[0] !== 0x0a;
    try {
      await file.appendFile(isCut ? `\n${text}` : text);
      await file.datasync();
    } catch (error) {
      await file.truncate(size).catch(() => undefined);
      throw error;
    }
  } finally {
    await file.close();
  }
}
