/** What a mail says, before it is text or HTML. All strings are plain text; only rendering knows how to make them safe. */
export interface MailDocument {
  /** How bad it is: the colour of the top, and nothing else. */
  readonly tone: 'good' | 'attention' | 'bad';
  /** One line, what happened. */
  readonly title: string;
  /** Below it: where and when. */
  readonly subtitle: string;
  readonly blocks: readonly Block[];
  /** Why the reader gets this, and how to change it. */
  readonly footer: string;
}

/** One part of a mail, from top to bottom. */
export type Block =
  | { readonly kind: 'text'; readonly text: string }
  /** Figures with their names. */
  | { readonly kind: 'facts'; readonly rows: readonly (readonly [string, string])[] }
  /** What happened, each with its reason and what to do. */
  | { readonly kind: 'items'; readonly title: string; readonly items: readonly Item[] }
  /** Names of files and the like, one a line. */
  | { readonly kind: 'names'; readonly title: string; readonly names: readonly string[]; readonly more: number };

export interface Item {
  /** A time, or a number of times. */
  readonly label?: string;
  readonly what: string;
  readonly why?: string;
  /** A command, or what to do. */
  readonly fix?: string;
}

/** A mail without an addressee. */
export interface MailContent {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}
