/** What is compared: each tool backs up a tree to a target of its own on the same store. */
import type { Bench } from './bench-machine.ts';
import type { Measured } from './measure.ts';

export interface Tool {
  readonly name: string;
  isThere(): Promise<boolean>;
  /** An empty target for a tree. Names are lower case letters, digits and `-`. */
  target(bench: Bench, name: string, tree: string): Promise<Target>;
}

/** Where one tree goes. */
export interface Target {
  backup(): Promise<Measured>;
  /** Brings back a part of the newest backup, or with '' all of it, into an empty directory. @param part a path below the tree */
  restore(part: string, to: string): Promise<Measured>;
  /** Makes as if a day had gone by; for tools that do something by the day. */
  dayLater?(): Promise<void>;
  dispose(): Promise<void>;
}
