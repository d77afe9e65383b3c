/**
 * Prints an object as `JSON.stringify(object, undefined, 2)` would, with a list in the middle of it whose elements come one
 * after the other, more of them than one wants to hold.
 */
export function growingJson(
  list: string,
  write: (text: string) => void,
): {
  /** Nothing is printed before the first element. @param before the object's members before the list, known by then. */
  add(elements: readonly unknown[], before: Readonly<Record<string, unknown>>): void;
  end(after: Readonly<Record<string, unknown>>): void;
} {
  let isBegun = false;
  const members = (object: Readonly<Record<string, unknown>>) =>
    Object.entries(object).map(([name, value]) => `  ${JSON.stringify(name)}: ${indented(value, '  ')}`);
  return {
    add(elements, before) {
      let text = '';
      for (const element of elements) {
        text += isBegun ? ',\n    ' : `{\n${[...members(before), `  ${JSON.stringify(list)}: [\n    `].join(',\n')}`;
        text += indented(element, '    ');
        isBegun = true;
      }
      if (text !== '') write(text);
    },
    end(after) {
      if (isBegun)
        write(
          `\n  ]${members(after)
            .map((member) => `,\n${member}`)
            .join('')}\n}\n`,
        );
    },
  };
}

function indented(value: unknown, by: string): string {
  return JSON.stringify(value, undefined, 2).replaceAll('\n', `\n${by}`);
}
