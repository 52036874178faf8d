// A package that was found in an image, and what is collected of them. Whoever built the image decides what its files say: what is collected has a bound,
// and what could not be read is said in a note, never thrown.

export interface Package {
  /** Names it to everyone (purl-spec); two findings with the same are one package. */
  readonly purl: string;
  readonly name: string;
  /** Empty: nobody says. */
  readonly version: string;
  /** As its maker wrote it; an SPDX expression where the maker knew of them. */
  readonly license?: string | undefined;
  /** `Name <address>`, or a name. */
  readonly supplier?: string | undefined;
  readonly homepage?: string | undefined;
  readonly summary?: string | undefined;
}

export interface FoundPackage extends Package {
  /** The file that says so. */
  readonly foundIn: string;
  /** How many other files say so, too. */
  readonly alsoFound: number;
}

const MAX_PACKAGES = 200_000;
const MAX_NOTES = 50;
const MAX_FIELD_LENGTH = 1000;

export class Findings {
  readonly #packages = new Map<string, FoundPackage>();
  readonly #notes = new Set<string>();
  #leftOut = 0;
  #notesLeftOut = 0;

  add(found: Package, foundIn: string): void {
    const { purl } = found;
    const known = this.#packages.get(purl);
    if (known) this.#packages.set(purl, { ...known, alsoFound: known.alsoFound + 1 });
    else if (this.#packages.size >= MAX_PACKAGES || isOverlong(found)) this.#leftOut += 1;
    else this.#packages.set(purl, { ...found, foundIn, alsoFound: 0 });
  }

  /** One line. */
  note(text: string): void {
    if (this.#notes.size < MAX_NOTES) this.#notes.add(text);
    else this.#notesLeftOut += 1;
  }

  /** Sorted, so that the order of files plays no part. */
  packages(): FoundPackage[] {
    return [...this.#packages.values()].sort((a, b) => (a.purl < b.purl ? -1 : 1));
  }

  notes(): string[] {
    const notes = [...this.#notes];
    if (this.#leftOut > 0)
      notes.push(`${this.#leftOut} packages are left out: at most ${MAX_PACKAGES} are listed, with names of reasonable length`);
    if (this.#notesLeftOut > 0) notes.push(`${this.#notesLeftOut} more such notes are left out`);
    return notes;
  }
}

function isOverlong({ purl, name, version }: Package): boolean {
  return purl.length > 2 * MAX_FIELD_LENGTH || name.length > MAX_FIELD_LENGTH || version.length > MAX_FIELD_LENGTH;
}
