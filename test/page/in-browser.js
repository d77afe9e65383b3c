// What the tests of the page ask in the browser; it is sent there as text.
({
  /** Elements that stick out to the right of the window. */
  tooWide() {
    const width = document.documentElement.clientWidth;
    const out =
      document.documentElement.scrollWidth > width ? [`the page is ${document.documentElement.scrollWidth}`] : [];
    for (const element of document.querySelectorAll('main *')) {
      const { right, width: own } = element.getBoundingClientRect();
      // What scrolls within its own box is not the page's matter, nor what is drawn.
      if (own === 0 || right <= width + 1 || element.closest('.scroll, svg, details:not([open])') !== null) continue;
      out.push(`${element.tagName} ${element.className}: ${right}`);
    }
    return out;
  },
  /** The lowest contrast of any text with what is behind it, by WCAG's formula, and where it is. */
  lowestContrast() {
    const numbers = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = ([r = 0, g = 0, b = 0]) => {
      const part = (value) => {
        const share = value / 255;
        return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      };
      return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const behind = (element) => {
      for (let at = element; at !== null; at = at.parentElement) {
        const color = numbers(getComputedStyle(at).backgroundColor);
        if (color.length >= 3 && color[3] !== 0) return color;
      }
      return [255, 255, 255];
    };
    let lowest = { ratio: 21, where: '' };
    for (const element of document.querySelectorAll('body *:not(script)')) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && (node.textContent ?? '').trim() !== '');
      if (!own || element.closest('title') !== null) continue;
      const style = getComputedStyle(element);
      const one = luminance(numbers(element instanceof SVGElement ? style.fill : style.color));
      const two = luminance(behind(element));
      const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
      if (ratio < lowest.ratio) lowest = { ratio, where: `${element.tagName} ${element.getAttribute('class') ?? ''}` };
    }
    return lowest;
  },
  openAll() {
    for (const details of document.querySelectorAll('details')) details.open = true;
  },
});
