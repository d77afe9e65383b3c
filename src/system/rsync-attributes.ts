/**
 * Which extended attributes a restore takes. On the server `rsync --fake-super` keeps what a source has as X under the name
 * `user.rsync.X`, and whoever may write a file may give it an attribute of that very name: a user could make himself a
 * capability by way of a restore. So what gives rights comes in a pass of its own, for files that no user can have made.
 *
 * The rules are anchored and have `**`, because the name of an attribute may hold a slash. The other side is told none
 * of them: there names mean something else. A rule of type x turns off what rsync leaves out by itself, `system.*`.
 */
const fakeSuper = '--filter=-xr /user.rsync.**';

/** A user's own attributes, and nothing that could give a right. What is here of other names is left alone. */
export const withoutRights: readonly string[] = [fakeSuper, '--filter=-xr! /user.**'];

/** Also what only root can set: capabilities, labels, `trusted.*`. */
export const withRights: readonly string[] = [
  fakeSuper,
  '--filter=+xr /user.**',
  '--filter=+xr /security.**',
  '--filter=+xr /trusted.**',
  '--filter=-xr **',
];
