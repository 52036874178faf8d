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
const MAX_NAME_LENGTH = 1000;
const MAX_SUPPLIER_LENGTH = 300;
const MAX_TEXT_LENGTH = 500;
/** Of all names and texts: a document of them can still be written as one text. */
const MAX_TOTAL_LENGTH = 64 << 20;

export class Findings {
  readonly #packages = new Map<string, FoundPackage>();
  readonly #notes = new Set<string>();
  #length = 0;
  #leftOut = 0;
  #notesLeftOut = 0;

  add(found: Package, foundIn: string): void {
    const { purl, name, version } = found;
    const known = this.#packages.get(purl);
    if (known) {
      this.#packages.set(purl, { ...known, alsoFound: known.alsoFound + 1 });
      return;
    }
    const kept = { ...withinMeasure(found), foundIn, alsoFound: 0 };
    const isOverlong = Math.max(purl.length / 2, name.length, version.length) > MAX_NAME_LENGTH;
    const length = lengthOf(kept);
    if (isOverlong || this.#packages.size >= MAX_PACKAGES || this.#length + length > MAX_TOTAL_LENGTH) this.#leftOut += 1;
    else {
      this.#packages.set(purl, kept);
      this.#length += length;
    }
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
    if (this.#leftOut > 0) notes.push(`${this.#leftOut} packages are left out: there are too many, or their names are too long`);
    if (this.#notesLeftOut > 0) notes.push(`${this.#notesLeftOut} more such notes are left out`);
    return notes;
  }
}

/** A licence that is cut is another one; a home page that is none helps nobody. */
function withinMeasure({ license, supplier, homepage, summary, ...rest }: Package): Package {
  return {
    ...rest,
    license: license !== undefined && license.length <= MAX_NAME_LENGTH ? license : undefined,
    supplier: supplier?.slice(0, MAX_SUPPLIER_LENGTH),
    homepage:
      homepage !== undefined && homepage.length <= MAX_TEXT_LENGTH && /^https?:\/\/\S+$/.test(homepage) ? homepage : undefined,
    summary: summary?.slice(0, MAX_TEXT_LENGTH) || undefined,
  };
}

function lengthOf(found: FoundPackage): number {
  return Object.values(found).reduce((sum: number, value) => sum + (typeof value === 'string' ? value.length : 0), 0);
}
