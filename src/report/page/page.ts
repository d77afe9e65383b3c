import { createHash } from 'node:crypto';
import { Html, html } from './html.ts';
import type { PageModel } from './model.ts';
import { script } from './script.ts';
import { alertSection, eventSection, fleetSection, nextSection, timelineSection, timeOf } from './sections.ts';
import { spaceBar, spaceChart } from './space.ts';
import { style } from './style.ts';

/**
 * The page that shows how a server stands: one file that loads nothing. Whatever a client may have put into a name or a
 * message is text in it, and should that ever fail, the policy in its head lets no script run but its own. Pure.
 */
export function renderPage(model: PageModel): string {
  const { status, host, version } = model;
  const { store } = status;
  const page = html`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentPolicy}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex,nofollow">
<meta name="color-scheme" content="light dark">
<title>${titleOf(model)}</title>
<style>${new Html(style)}</style></head>
<body><header><h1>Backups on ${host}</h1><p class="asof">As of ${timeOf(status.at)} <span id="age" data-at="${status.at}"></span></p></header>
<main>${alertSection(model)}
<section aria-labelledby="space"><h2 id="space">Space</h2><p class="space">${sentence(store.inWords)}</p>
${spaceBar(store)}${spaceChart(model.space)}</section>
${fleetSection(model)}
${timelineSection(model)}
${nextSection(model)}
${eventSection(model)}</main>
<footer>byteback ${version} · ${store.path}</footer>
<script>${new Html(script)}</script></body></html>
`;
  return page.text;
}

function titleOf({ host, status: { alerts } }: PageModel): string {
  const critical = alerts.some(({ level }) => level === 'critical');
  const state = alerts.length === 0 ? 'all is well' : critical ? 'needs a look now' : 'needs a look';
  return `${host}: ${state}`;
}

function sentence(words: string): string {
  return `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`;
}

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing from anywhere; only this style and this script, by their hashes. */
export const contentPolicy = [
  "default-src 'none'",
  `style-src ${hashOf(style)}`,
  `script-src ${hashOf(script)}`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');
