import type { ClientStatus } from '../fleet.ts';
import { ageWords, countWords, sizeWords, timeWords } from '../words.ts';
import { type Html, html } from './html.ts';
import type { PageModel, PageSnapshot } from './model.ts';
import { nextShown, timeline } from './timeline.ts';

const dayMs = 86_400_000;

/** A time for people, which the script shows in their own time zone. */
export function timeOf(at: string): Html {
  return html`<time datetime="${at}">${timeWords(at)} UTC</time>`;
}

/** Names may stand in an id only in this form; client names are DNS names, but nothing here relies on it. */
export function anchorOf(name: string): string {
  return `client-${name.replaceAll(/[^a-z0-9-]/g, (character) => `_${character.codePointAt(0)?.toString(16)}_`)}`;
}

/** What somebody should look at, or that there is nothing. */
export function alertSection({ status: { alerts, clients } }: PageModel): Html {
  if (alerts.length === 0) {
    const words =
      clients.length === 0
        ? 'No clients yet.'
        : `All is well: ${countWords(clients.length, 'client')}, nothing needs a look.`;
    return html`<p class="verdict ok"><span class="sign" aria-hidden="true">✓</span> ${words}</p>`;
  }
  return html`<section class="alerts" aria-labelledby="alerts"><h2 id="alerts">${countWords(alerts.length, 'thing')} to look at</h2><ul>${alerts.map(
    ({ level, client, what, fix }) =>
      html`<li class="${level}"><span class="pill ${level}">${level}</span> <p>${client === null ? null : html`<a href="#${anchorOf(client)}">${client}</a>: `}${what}${fix === null ? null : html`<br><span class="fix">${fix}</span>`}</p></li>`,
  )}</ul></section>`;
}

/** All clients, one a line; on a phone one a card. */
export function fleetSection({ status }: PageModel): Html {
  const now = Date.parse(status.at);
  if (status.clients.length === 0) {
    return html`<section aria-labelledby="clients"><h2 id="clients">Clients</h2><p class="quiet">None yet. For each one: <code>byteback client invite NAME</code></p></section>`;
  }
  const rows = status.clients.map((client) => fleetRow(client, now));
  return html`<section aria-labelledby="clients"><h2 id="clients">Clients</h2>
<div class="scroll"><table class="fleet" data-sortable><thead><tr><th scope="col">Client</th><th scope="col">State</th><th scope="col" class="number">Last backup</th><th scope="col" class="number">Every</th><th scope="col" class="number">Size</th><th scope="col" class="number">Snapshots</th><th scope="col" class="number">History</th><th scope="col" class="number">Restore proven</th></tr></thead><tbody>
${rows}</tbody></table></div></section>`;
}

function fleetRow(client: ClientStatus, now: number): Html {
  const { name, newest, rhythmMs, snapshots, oldestAt, lastProven, held } = client;
  const age = (at: string) => Math.max(0, now - Date.parse(at));
  const cell = (label: string, text: string, sort: number) =>
    html`<td class="number" data-label="${label}" data-sort="${Math.round(sort)}">${text}</td>`;
  const size = newest?.totalBytes;
  return html`<tr><th scope="row"><a href="#${anchorOf(name)}">${name}</a></th><td data-label="State">${statesOf(client)}</td>${[
    cell(
      'Last backup',
      newest === null ? 'none yet' : `${ageWords(age(newest.at))} ago`,
      newest === null ? Number.MAX_SAFE_INTEGER : age(newest.at),
    ),
    cell('Every', rhythmMs === null ? '–' : ageWords(rhythmMs), rhythmMs ?? 0),
    cell('Size', size === null || size === undefined ? '–' : sizeWords(size), size ?? 0),
    cell('Snapshots', `${snapshots}${held > 0 ? ` (${held} held)` : ''}`, snapshots),
    cell('History', oldestAt === null ? '–' : ageWords(age(oldestAt)), oldestAt === null ? 0 : age(oldestAt)),
    cell(
      'Restore proven',
      lastProven === null ? 'never' : `${ageWords(age(lastProven.at))} ago`,
      lastProven === null ? Number.MAX_SAFE_INTEGER : age(lastProven.at),
    ),
  ]}</tr>
`;
}

function statesOf({ registered, overdue, newest, pruningPaused, running, openRunSince }: ClientStatus): Html {
  const states: Html[] = [];
  const pill = (kind: string, text: string) => states.push(html`<span class="pill ${kind}">${text}</span> `);
  if (overdue && registered) pill('warning', 'overdue');
  if (pruningPaused !== null) pill('critical', 'paused');
  if (!registered) pill('plain', 'no key');
  if (newest?.status === 'partial') pill('warning', 'partial');
  if (running.length > 0) pill('busy', 'running now');
  else if (openRunSince !== null) pill('plain', 'unfinished run');
  if (states.length === 0) pill('ok', newest === null ? 'waiting' : 'ok');
  return html`${states}`;
}

/** Each client's snapshots along time, and in a table that opens. */
export function timelineSection(model: PageModel): Html {
  const now = Date.parse(model.status.at);
  const ages = [...model.snapshots.values()].flatMap(([oldest]) =>
    oldest === undefined ? [] : [now - Date.parse(oldest.at)],
  );
  const mostDays = Math.max(7, ...ages.map((age) => age / dayMs));
  if (model.status.clients.length === 0) return html``;
  return html`<section aria-labelledby="timelines"><h2 id="timelines">Snapshots</h2>
<p class="quiet">Newest on the right; the further back, the narrower a day. A mark’s height is what was new in it. <span class="key"><svg width="10" height="14" aria-hidden="true"><rect class="mark" x="3" y="1" width="4" height="12" rx="1"/></svg> kept</span> <span class="key"><svg width="10" height="14" aria-hidden="true"><rect class="mark next" x="3" y="1.5" width="4" height="11" rx="1"/></svg> among the next to go</span> <span class="key"><svg width="10" height="14" aria-hidden="true"><rect class="mark partial" x="3" y="1.5" width="4" height="11" rx="1"/></svg> partial</span> <span class="key">◆ held</span></p>
${model.status.clients.map((client) => clientArticle(client, model.snapshots.get(client.name) ?? [], { now, mostDays }))}</section>`;
}

/** Rows of a client's table; those that are held or go next are shown besides. */
const mostRows = 60;

function clientArticle(
  client: ClientStatus,
  snapshots: readonly PageSnapshot[],
  scale: { now: number; mostDays: number },
): Html {
  const { name, forecast, holds, running } = client;
  const told = forecast?.startsWith(`${name}: `) ? forecast.slice(name.length + 2) : forecast;
  return html`<article id="${anchorOf(name)}"><h3>${name} ${statesOf(client)}</h3>
<p class="facts">${told ?? 'no forecast before the first prune'}${client.historyBytes === null ? null : ` · history takes ${sizeWords(client.historyBytes)}`}</p>
${running.map((one) => runningBar(one))}${snapshots.length === 0 ? html`<p class="quiet">No snapshot yet.</p>` : timeline(name, snapshots, scale)}
${holds.map(({ snapshot, reason, since }) => html`<p class="held">◆ ${snapshot} held since ${since.slice(0, 10)}: ${reason}</p>`)}
${snapshots.length === 0 ? null : snapshotTable(snapshots)}</article>
`;
}

function runningBar({ kind, doneBytes, expectedBytes, bytesPerSecond, since }: ClientStatus['running'][number]): Html {
  const isKnown = expectedBytes !== null && expectedBytes >= doneBytes && expectedBytes > 0;
  const words = isKnown ? `${sizeWords(doneBytes)} of ${sizeWords(expectedBytes)}` : sizeWords(doneBytes);
  const begun = html`${{ backup: 'Sending', check: 'Checking', restore: 'Restoring' }[kind]} since ${timeOf(since)}`;
  // A hardened timer may not look into what other users' processes have done.
  if (doneBytes === 0) return html`<p class="running">${begun}</p>`;
  return html`<p class="running">${begun}: ${words}, ${sizeWords(bytesPerSecond)}/s ${
    isKnown ? html`<progress max="${expectedBytes}" value="${doneBytes}">${words}</progress>` : null
  }</p>`;
}

function snapshotTable(snapshots: readonly PageSnapshot[]): Html {
  const newest = snapshots.slice(-mostRows);
  const older = snapshots
    .slice(0, -mostRows)
    .filter(({ held, place }) => held || (place !== null && place <= nextShown));
  const rows = [...older, ...newest].toReversed();
  const hidden = snapshots.length - rows.length;
  return html`<details><summary>${countWords(snapshots.length, 'snapshot')}, and why each is kept</summary><div class="scroll"><table><thead><tr><th scope="col">Snapshot</th><th scope="col" class="number">New in it</th><th scope="col">Why</th></tr></thead><tbody>
${rows.map(
  ({ name: snapshot, newBytes, reason, status, place, held }) =>
    html`<tr><th scope="row">${held ? '◆ ' : ''}${snapshot}</th><td class="number" data-label="New in it">${newBytes === null ? '–' : sizeWords(newBytes)}</td><td data-label="Why">${status === 'partial' ? 'partial; ' : ''}${place === null ? reason : `number ${place} to go: ${reason}`}</td></tr>
`,
)}</tbody></table></div>${hidden > 0 ? html`<p class="quiet">${countWords(hidden, 'older snapshot')} not listed here; on the server: <code>byteback-prune --list</code></p>` : null}</details>`;
}

/** What would go next, when room is needed. */
export function nextSection({ next, pruningRefused, status: { store } }: PageModel): Html {
  const shown = next.slice(0, 15);
  return html`<section aria-labelledby="next"><h2 id="next">Next to be pruned</h2>
${pruningRefused === null ? null : html`<p class="verdict warning">Nothing is pruned now: ${pruningRefused}</p>`}${
  shown.length === 0
    ? html`<p class="quiet">Nothing could go: every snapshot is protected.</p>`
    : html`<p class="quiet">Nothing goes as long as there is room. Below ${store.pruneBelowPercent} % free they go in this order, until ${store.pruneUntilPercent} % are free.</p><div class="scroll"><table><thead><tr><th scope="col" class="number">#</th><th scope="col">Client</th><th scope="col">Snapshot</th><th scope="col" class="number">Frees about</th><th scope="col">Why</th></tr></thead><tbody>
${shown.map(
  ({ client, snapshot, freesBytes, reason }, at) =>
    html`<tr><td class="number" data-label="Number">${at + 1}</td><th scope="row"><a href="#${anchorOf(client)}">${client}</a></th><td data-label="Snapshot">${snapshot}</td><td class="number" data-label="Frees about">${sizeWords(freesBytes)}</td><td data-label="Why">${reason}</td></tr>
`,
)}</tbody></table></div>`
}</section>`;
}

/** What happened in the last weeks. */
export function eventSection({ events }: PageModel): Html {
  return html`<section aria-labelledby="events"><h2 id="events">Events of the last 30 days</h2>${
    events.length === 0
      ? html`<p class="quiet">None: nobody was refused, nothing failed.</p>`
      : html`<ol class="events">${events.map(
          ({ at, kind, client, what, why, count }) =>
            html`<li><p class="when">${timeOf(at)} <span class="pill plain">${kind}</span></p><p>${client === null ? null : html`<a href="#${anchorOf(client)}">${client}</a>: `}${what}${count > 1 ? ` (${count} times)` : null}${why === null ? null : html`<br><span class="fix">${why}</span>`}</p></li>
`,
        )}</ol>`
  }</section>`;
}
