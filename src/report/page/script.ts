/**
 * What makes the page nicer where scripts run: times in the reader's zone, how old the page is, sorting, and a filter for
 * large fleets. It reads and moves what is there and never makes HTML of text. Nothing is lost without it.
 */
export const script = `
'use strict';
(() => {
  for (const time of document.querySelectorAll('time')) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    time.textContent = at.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  }
  const age = document.getElementById('age');
  if (age) {
    const written = new Date(age.dataset.at).getTime();
    const tell = () => {
      const minutes = Math.max(0, Math.round((Date.now() - written) / 60000));
      const words = minutes < 1 ? 'just now' : minutes < 120 ? minutes + ' min ago' : Math.round(minutes / 60) + ' h ago';
      const stale = minutes > 180;
      age.textContent = '(' + words + (stale ? '; it should be newer: is its timer still running?' : '') + ')';
      age.className = stale ? 'stale' : '';
    };
    tell();
    setInterval(tell, 30000);
  }
  for (const table of document.querySelectorAll('table[data-sortable]')) {
    const body = table.tBodies[0];
    const keyOf = (row, column) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
    };
    Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener('click', () => {
        const down = head.getAttribute('aria-sort') === 'ascending';
        for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const rows = Array.from(body.rows).sort((a, b) => {
          const one = keyOf(a, column);
          const two = keyOf(b, column);
          return (one < two ? -1 : one > two ? 1 : 0) * (down ? -1 : 1);
        });
        body.append(...rows);
      });
    });
    if (body.rows.length < 8) continue;
    const field = document.createElement('input');
    field.type = 'search';
    field.className = 'filter';
    field.placeholder = 'Filter by name or state';
    field.setAttribute('aria-label', 'Filter clients by name or state');
    field.addEventListener('input', () => {
      const wanted = field.value.trim().toLowerCase();
      for (const row of body.rows) {
        const words = row.cells[0].textContent + ' ' + row.cells[1].textContent;
        row.hidden = !words.toLowerCase().includes(wanted);
        const article = document.getElementById(row.cells[0].querySelector('a').hash.slice(1));
        if (article) article.hidden = row.hidden;
      }
    });
    table.closest('.scroll').before(field);
  }
})();
`;
