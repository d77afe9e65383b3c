// Exits 0 when node_modules holds what package-lock.json asks for, else says what is missing and exits 1.
// Plain JavaScript, because the machine's own Node runs it before ours is there. Times are not compared: a git checkout
// touches the lock file, and a needless `npm ci` would take node_modules away from whatever is running from it.
import { readFileSync } from 'node:fs';

const wanted = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;

function installedPackages() {
  try {
    return JSON.parse(readFileSync('node_modules/.package-lock.json', 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

const installed = installedPackages();
const stale =
  installed &&
  Object.keys(wanted).filter((path) => {
    // '' is the project itself; optional packages are for other platforms, unless they are here.
    if (path === '') return false;
    if (installed[path] === undefined) return !wanted[path].optional;
    return installed[path].version !== wanted[path].version;
  });

if (!installed) console.error('Installing the dependencies with npm ci: there are none yet.');
else if (stale.length > 0) console.error(`Installing the dependencies with npm ci: ${stale.join(', ')} not as locked.`);
process.exitCode = !installed || stale.length > 0 ? 1 : 0;
