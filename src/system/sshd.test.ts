import { describe, expect, it } from 'vitest';
import { listeningPorts } from './sshd.ts';

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:A3C2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 36012 1 0000000000000000 100 0 0 10 0
   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 36013 1 0000000000000000 100 0 0 10 0
   2: 0100007F:A3C2 0100007F:8F1A 01 00000000:00000000 02:000A1B2C 00000000     0        0 36014 2 0000000000000000 20 4 30 10 -1
   3: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 36015 1 0000000000000000 100 0 0 10 0
`;

describe('the ports that a process listens on', () => {
  it('are those of its own listening sockets, of both kinds of address', () => {
    expect(listeningPorts(table, new Set(['36012', '36014', '36015']))).toEqual([41_922, 80]);
    expect(listeningPorts(table, new Set(['1']))).toEqual([]);
    expect(listeningPorts('', new Set(['36012']))).toEqual([]);
  });
});
