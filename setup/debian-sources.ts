// Where this machine's apt takes Debian from: for what is made out of Debian's packages without being installed here.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface Source {
  /** Ends as apt tells the two formats apart: .list or .sources. */
  readonly name: string;
  readonly text: string;
}

/**
 * The machine's own entries for that release, so that a base has the mirror, and the mirror's date, that the machine has. Entries of others (signed by
 * another key) are left out. Empty on a machine that has none: mmdebstrap then takes Debian's defaults.
 */
export function readDebianSources(directory: string, release: string): Source[] {
  const parts = path.join(directory, 'sources.list.d');
  const files = [
    path.join(directory, 'sources.list'),
    ...(existsSync(parts) ? readdirSync(parts).sort() : []).map((name) => path.join(parts, name)),
  ];
  const ofDebian = (entry: string, suites: RegExp) =>
    suites.test(entry) &&
    (!/signed-by/i.test(entry) || entry.includes('debian-archive-keyring')) &&
    !/^enabled:\s*no/im.test(entry);
  const sources: Source[] = [];
  for (const file of files.filter((name) => existsSync(name))) {
    const text = readFileSync(file, 'utf8');
    if (file.endsWith('.sources')) {
      const stanzas = text.split(/\n\s*\n/).filter((stanza) => ofDebian(stanza, new RegExp(`^suites:.*\\b${release}\\b`, 'im')));
      if (stanzas.length > 0) sources.push({ name: `debian-${sources.length}.sources`, text: `${stanzas.join('\n\n')}\n` });
    } else if (file.endsWith('.list')) {
      const lines = text.split('\n').filter((line) => ofDebian(line, new RegExp(`^deb\\s.*\\s${release}(-\\S+)?\\s`)));
      if (lines.length > 0) sources.push({ name: `debian-${sources.length}.list`, text: `${lines.join('\n')}\n` });
    }
  }
  return sources;
}

/** Where the archive is that the machine has that release from: one that has Debian's other releases as well. */
export function readDebianMirror(directory: string, release: string): string {
  for (const { text } of readDebianSources(directory, release)) {
    for (const stanza of text.split(/\n\s*\n/)) {
      const suites = /^suites:(.*)$/im.exec(stanza)?.[1]?.trim().split(/\s+/);
      const uri = /^uris:\s*(\S+)/im.exec(stanza)?.[1];
      if (uri !== undefined && suites?.includes(release)) return uri;
    }
    const line = new RegExp(`^deb\\s+(?:\\[[^\\]]*\\]\\s+)?(\\S+)\\s+${release}\\s`, 'm').exec(text);
    if (line?.[1] !== undefined) return line[1];
  }
  throw new Error(`apt has no source for ${release} in ${directory}`);
}

/** What apt on this machine must be told to reach its mirror: proxies, and leave to use a mirror of an older date. */
export function readAptOptions(): string[] {
  const wanted = ['Acquire::Check-Valid-Until', 'Acquire::Check-Date', 'Acquire::http::Proxy', 'Acquire::https::Proxy'];
  const dump = execFileSync('apt-config', ['dump', ...wanted], { encoding: 'utf8' });
  return dump.split('\n').filter((line) => /"[^"]+";$/.test(line));
}
