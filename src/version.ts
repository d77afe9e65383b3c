import packageJson from '../package.json' with { type: 'json' };

/** byteback's version, as package.json says it. */
export const version: string = packageJson.version;
