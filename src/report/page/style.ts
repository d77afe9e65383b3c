/** The page's style sheet. Both themes have a contrast of at least 4.5 to 1 for text, 3 to 1 for what is drawn. */
export const style = `
:root{color-scheme:light dark;--ground:#f5f6f6;--card:#fff;--text:#1b1f23;--quiet:#545d66;--line:#d9dde1;--accent:#1c6a8c;--trees:#16455c;--history:#5aa2c0;--free:#e4e8ea;--limit:#a3431b;--ok:#176b3f;--okback:#e2f3e9;--warn:#8a4b00;--warnback:#fdf0dc;--crit:#a8201a;--critback:#fde7e5;--plainback:#eceff1;--busy:#164f86;--busyback:#e3eefa}
@media (prefers-color-scheme:dark){:root{--ground:#111518;--card:#1a2025;--text:#e7eaec;--quiet:#a4aeb6;--line:#323a41;--accent:#7cc4e2;--trees:#7dbad4;--history:#386f89;--free:#2a3238;--limit:#ff9d70;--ok:#7ad6a2;--okback:#173325;--warn:#f0b860;--warnback:#38290f;--crit:#ff938a;--critback:#431b19;--plainback:#2a3238;--busy:#9cc8f5;--busyback:#17304a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main,header,footer{max-width:68rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.75rem;padding-bottom:.5rem}
footer{padding-top:.5rem;padding-bottom:2.5rem;color:var(--quiet);font-size:.875rem}
h1{font-size:1.5rem;line-height:1.25;margin:0;font-weight:650;letter-spacing:-.01em}
h2{font-size:1.125rem;margin:0 0 .5rem;font-weight:650}
h3{font-size:1rem;margin:0;font-weight:650;display:flex;flex-wrap:wrap;gap:.25rem .6rem;align-items:center}
p{margin:0 0 .6rem}
a{color:var(--accent);text-underline-offset:.15em;text-decoration-thickness:1px}
a:focus-visible,summary:focus-visible,button:focus-visible,input:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:3px}
code{font:.875em ui-monospace,"DejaVu Sans Mono",monospace;background:var(--plainback);padding:.1em .35em;border-radius:4px}
.quiet,.facts,.fix,.asof{color:var(--quiet)}
.quiet,.facts,.asof,.held,.running{font-size:.9rem}
.asof{margin:.15rem 0 0}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.1rem 1.25rem;margin:1rem 0}
.verdict{display:flex;gap:.6rem;align-items:baseline;border-radius:10px;padding:.7rem 1.1rem;margin:1rem 0;font-weight:600}
.verdict.ok{background:var(--okback);color:var(--ok)}
.verdict.warning{background:var(--warnback);color:var(--warn)}
.pill{display:inline-block;font-size:.75rem;line-height:1.35;font-weight:600;padding:.12rem .5rem;border-radius:.8rem;max-width:100%}
.pill.ok{background:var(--okback);color:var(--ok)}
.pill.warning{background:var(--warnback);color:var(--warn)}
.pill.critical{background:var(--critback);color:var(--crit)}
.pill.busy{background:var(--busyback);color:var(--busy)}
.pill.plain{background:var(--plainback);color:var(--quiet)}
.alerts ul,.events{list-style:none;margin:0;padding:0}
.alerts li{display:grid;grid-template-columns:5.2rem 1fr;gap:.75rem;align-items:baseline;padding:.6rem 0;border-top:1px solid var(--line)}
.alerts li:first-child{border-top:0}
.alerts li p,.events p{margin:0}
.alerts .pill{justify-self:start}
.fix{font-size:.9rem}
.space{font-size:1.05rem;font-weight:600;margin-bottom:.4rem}
svg{display:block;overflow:visible;max-width:100%}
.swatch,.key svg{display:inline-block;vertical-align:-1px}
.trees{fill:var(--trees)}.history{fill:var(--history)}.free{fill:var(--free)}
.limit{stroke:var(--limit);stroke-width:2}
.size{fill:none;stroke:var(--quiet);stroke-width:1.5;stroke-dasharray:4 3;vector-effect:non-scaling-stroke}
.axis,.tick{stroke:var(--line);stroke-width:1}
.label{fill:var(--quiet);font-size:11.5px}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.6rem;margin:.4rem 0 1rem;font-size:.9rem}
.legend div{display:flex;gap:.4rem}.legend dt{color:var(--quiet)}.legend dd{margin:0;font-weight:600}
figure{margin:0}figcaption{color:var(--quiet);font-size:.85rem;margin-top:.25rem}
.mark{fill:var(--accent)}
.mark.next{fill:var(--card);stroke:var(--accent);stroke-width:1.2}
.mark.partial{fill:var(--warnback);stroke:var(--limit);stroke-width:1.4;stroke-dasharray:2 1.5}
text.sign{fill:var(--text);font-size:10px}
.key{white-space:nowrap;margin-left:.6rem}
article{padding:1rem 0;border-top:1px solid var(--line)}
article:target{background:var(--plainback);margin:0 -1.25rem;padding:1rem 1.25rem}
.facts{margin:.1rem 0 .6rem}
.held{margin:.3rem 0 0}
.timeline{margin:.2rem 0}
details{margin-top:.35rem}
summary{cursor:pointer;color:var(--accent);font-size:.9rem;padding:.15rem 0;width:fit-content}
progress{width:100%;height:.6rem;accent-color:var(--accent)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.45rem .9rem .45rem 0;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--quiet);font-weight:500;font-size:.8125rem;white-space:nowrap;vertical-align:bottom}
tbody th{font-weight:600}
.number{text-align:right}
td:last-child,th:last-child{padding-right:0}
td.number,td .pill,h3 .pill{white-space:nowrap}
.events li{display:grid;grid-template-columns:17rem 1fr;gap:.2rem 1rem;padding:.5rem 0;border-top:1px solid var(--line);font-size:.9rem}
.events li:first-child{border-top:0}
.when{color:var(--quiet)}
thead button{all:unset;cursor:pointer;border-bottom:1px dotted var(--quiet)}
thead button:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
[aria-sort=ascending] button::after{content:" ▲"}[aria-sort=descending] button::after{content:" ▼"}
.filter{font:inherit;font-size:.9rem;width:100%;max-width:22rem;color:var(--text);background:var(--ground);border:1px solid var(--quiet);border-radius:6px;padding:.35rem .6rem;margin:0 0 .6rem}
.stale{color:var(--crit);font-weight:600}
@media (max-width:46rem){
main,header,footer{padding-left:.85rem;padding-right:.85rem}
section{padding:1rem .9rem}
article:target{margin:0 -.9rem;padding:1rem .9rem}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td,tbody th{display:block;width:auto}
tr{padding:.6rem 0;border-top:1px solid var(--line)}
tbody tr:first-child{border-top:0}
th,td,td.number{padding:.05rem 0;border:0;text-align:left;white-space:normal}
td[data-label]{display:grid;grid-template-columns:7.5rem 1fr;gap:.5rem}
td[data-label]::before{content:attr(data-label);color:var(--quiet)}
td .pill{justify-self:start}
.fleet tr{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:.35rem .5rem;padding:.75rem 0}
.fleet th{grid-column:span 4}
.fleet td[data-label]{display:block;grid-column:span 2}
.fleet td[data-label]::before{display:block;font-size:.75rem}
.fleet td[data-label=State]{text-align:right}
.fleet td[data-label=State]::before{content:none}
[hidden]{display:none!important}
.events li{grid-template-columns:1fr}
.alerts li{grid-template-columns:1fr;gap:.25rem}
.key{margin-left:0;margin-right:.6rem}
.pill,td .pill,h3 .pill{white-space:normal}
}
@media print{body{background:#fff}section{break-inside:avoid}}
`;
