import type { Tool } from '../compare/tool.ts';
import { borg } from './borg.ts';
import { byteback } from './byteback.ts';
import { restic } from './restic.ts';
import { bareRsync } from './rsync.ts';

export const allTools: readonly Tool[] = [byteback, bareRsync, restic, borg];
