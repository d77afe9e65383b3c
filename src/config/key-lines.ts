/** A key's place in a TOML document: table names, key names, and indexes in arrays. */
export type KeyPath = readonly (string | number)[];

/** Lines of the keys of a TOML document, from 1. */
export interface KeyLines {
  /** The line of a key, or of the nearest table or array around it that the text names. */
  lineOf(path: KeyPath): number;
}

/**
 * Finds the line of every key in a TOML document that is known to be valid (the parser has accepted it): it only has to
 * tell keys, strings, comments and brackets apart. Parsers give lines for their own errors, not for the values they read.
 */
export function findKeyLines(toml: string): KeyLines {
  const scanner = new Scanner(toml);
  scanner.document();
  const { lines } = scanner;
  return {
    lineOf(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const line = lines.get(JSON.stringify(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return 1;
    },
  };
}

class Scanner {
  readonly lines = new Map<string, number>();
  readonly #text: string;
  readonly #arrayTableCounts = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    let table: (string | number)[] = [];
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      if (this.#peek() === '[') table = this.#header();
      else this.#pair(table);
    }
  }

  /** `[a.b]` or `[[a.b]]`: the path of the table that follows. */
  #header(): (string | number)[] {
    const line = this.#line;
    this.#next();
    const isArray = this.#peek() === '[';
    if (isArray) this.#next();
    const path = this.#intoArrayTables(this.#key(']'));
    this.#next();
    if (isArray) {
      this.#next();
      const name = JSON.stringify(path);
      const index = this.#arrayTableCounts.get(name) ?? 0;
      this.#arrayTableCounts.set(name, index + 1);
      this.#record(path, line);
      path.push(index);
    }
    this.#record(path, line);
    return path;
  }

  /** A name of an array of tables stands for its newest element. */
  #intoArrayTables(names: string[]): (string | number)[] {
    const path: (string | number)[] = [];
    for (const [position, name] of names.entries()) {
      path.push(name);
      const count = this.#arrayTableCounts.get(JSON.stringify(path));
      if (count !== undefined && position < names.length - 1) path.push(count - 1);
    }
    return path;
  }

  #pair(table: KeyPath): void {
    const line = this.#line;
    const names = this.#key('=');
    this.#next();
    const path = [...table, ...names];
    // A dotted key names the tables on its way, too.
    for (let length = table.length + 1; length <= path.length; length += 1) this.#record(path.slice(0, length), line);
    this.#skipBlank();
    this.#value(path);
  }

  #value(path: KeyPath): void {
    const character = this.#peek();
    if (character === '"' || character === "'") this.#string();
    else if (character === '[') this.#array(path);
    else if (character === '{') this.#inlineTable(path);
    else while (this.#at < this.#text.length && !',]}#\n\r'.includes(this.#peek())) this.#next();
  }

  #array(path: KeyPath): void {
    this.#next();
    for (let index = 0; ; index += 1) {
      this.#skipBlank(true);
      if (this.#at >= this.#text.length) return;
      if (this.#peek() === ']') break;
      this.#record([...path, index], this.#line);
      this.#value([...path, index]);
    }
    this.#next();
  }

  #inlineTable(path: KeyPath): void {
    this.#next();
    for (;;) {
      this.#skipBlank(true);
      if (this.#at >= this.#text.length) return;
      if (this.#peek() === '}') break;
      this.#pair(path);
    }
    this.#next();
  }

  /** The parts of a dotted key, up to the character that ends it. */
  #key(end: string): string[] {
    const names: string[] = [];
    for (;;) {
      while (' \t.'.includes(this.#peek()) && this.#at < this.#text.length) this.#next();
      const character = this.#peek();
      if (character === end || this.#at >= this.#text.length) return names;
      if (character === '"' || character === "'") {
        names.push(this.#string());
      } else {
        const from = this.#at;
        while (this.#at < this.#text.length && !` \t.${end}`.includes(this.#peek())) this.#next();
        names.push(this.#text.slice(from, this.#at));
      }
    }
  }

  /** Any of the four kinds of strings; returns what a one-line one says. */
  #string(): string {
    const quote = this.#peek();
    const isLong = this.#text.startsWith(quote.repeat(3), this.#at);
    const fence = isLong ? quote.repeat(3) : quote;
    const from = this.#at;
    for (let count = 0; count < fence.length; count += 1) this.#next();
    while (this.#at < this.#text.length && !this.#text.startsWith(fence, this.#at)) {
      if (quote === '"' && this.#peek() === '\\') this.#next();
      this.#next();
    }
    for (let count = 0; count < fence.length; count += 1) this.#next();
    // Up to two quotes may stand right before the closing three.
    while (isLong && this.#peek() === quote) this.#next();
    const raw = this.#text.slice(from + fence.length, this.#at - fence.length);
    return quote === "'" || isLong ? raw : unquote(raw);
  }

  /** Blanks, line ends and comments; commas, too, between the elements of an array or inline table. */
  #skipBlank(commas = false): void {
    for (; this.#at < this.#text.length; this.#next()) {
      const character = this.#peek();
      if (character === '#') while (this.#at + 1 < this.#text.length && this.#text[this.#at + 1] !== '\n') this.#next();
      else if (!' \t\r\n\ufeff'.includes(character) && !(commas && character === ',')) return;
    }
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #next(): void {
    if (this.#text[this.#at] === '\n') this.#line += 1;
    this.#at += 1;
  }

  #record(path: KeyPath, line: number): void {
    const key = JSON.stringify(path);
    if (!this.lines.has(key)) this.lines.set(key, line);
  }
}

const shortEscapes: Readonly<Record<string, string>> = {
  b: '\b',
  t: '\t',
  n: '\n',
  f: '\f',
  r: '\r',
  e: '\u001b',
  '"': '"',
  '\\': '\\',
};

function unquote(raw: string): string {
  return raw.replaceAll(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/g,
    (_match, x, u, U, short) => {
      const digits: string | undefined = x ?? u ?? U;
      return digits === undefined ? (shortEscapes[short] ?? short) : String.fromCodePoint(Number.parseInt(digits, 16));
    },
  );
}
