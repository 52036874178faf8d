// Licences as SPDX has them (SPDX 2.3, annex D): an expression of listed names where what a package says is one, else a name of the document's own
// with what was said. The list is of those that packages use; any other is right as a name of the document's own, too.

const LISTED = new Set(
  `0BSD AFL-2.0 AFL-2.1 AFL-3.0 AGPL-1.0 AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.0 Apache-1.1 Apache-2.0 APSL-2.0
  Artistic-1.0 Artistic-1.0-cl8 Artistic-1.0-Perl Artistic-2.0 Beerware BlueOak-1.0.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-FreeBSD
  BSD-2-Clause-Patent BSD-2-Clause-Views BSD-3-Clause BSD-3-Clause-Attribution BSD-3-Clause-Clear BSD-3-Clause-LBNL BSD-4-Clause
  BSD-4-Clause-UC BSD-Source-Code BSL-1.0 bzip2-1.0.6 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDDL-1.0 CDDL-1.1
  CECILL-2.1 CPL-1.0 curl ECL-2.0 EFL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 FSFAP FSFUL FSFULLR FTL GFDL-1.1-only GFDL-1.1-or-later
  GFDL-1.2-only GFDL-1.2-or-later GFDL-1.3 GFDL-1.3-only GFDL-1.3-or-later GPL-1.0 GPL-1.0-only GPL-1.0-or-later GPL-1.0+ GPL-2.0
  GPL-2.0-only GPL-2.0-or-later GPL-2.0+ GPL-3.0 GPL-3.0-only GPL-3.0-or-later GPL-3.0+ HPND HPND-sell-variant ICU IJG Info-ZIP Intel
  IPL-1.0 ISC JasPer-2.0 JSON LGPL-2.0 LGPL-2.0-only LGPL-2.0-or-later LGPL-2.0+ LGPL-2.1 LGPL-2.1-only LGPL-2.1-or-later LGPL-2.1+
  LGPL-3.0 LGPL-3.0-only LGPL-3.0-or-later LGPL-3.0+ Libpng libpng-2.0 libtiff LPPL-1.3c MirOS MIT MIT-0 MIT-CMU MIT-Modern-Variant
  MITNFA MPL-1.0 MPL-1.1 MPL-2.0 MPL-2.0-no-copyleft-exception MS-PL MS-RL Multics NAIST-2003 NCSA Net-SNMP NTP ODbL-1.0 OFL-1.0 OFL-1.1
  OGL-UK-3.0 OLDAP-2.8 OpenSSL OSL-2.1 OSL-3.0 PHP-3.0 PHP-3.01 PostgreSQL PSF-2.0 Python-2.0 Python-2.0.1 QPL-1.0 RSA-MD Ruby Sendmail
  SGI-B-2.0 Sleepycat SMLNJ SSH-OpenSSH SSH-short SunPro TCL Unicode-3.0 Unicode-DFS-2015 Unicode-DFS-2016 Unlicense UPL-1.0 Vim W3C
  WTFPL X11 Xnet XSkat Zlib zlib-acknowledgement ZPL-2.0 ZPL-2.1`.split(/\s+/),
);

const EXCEPTIONS = new Set(
  `Autoconf-exception-2.0 Autoconf-exception-3.0 Bison-exception-2.2 Classpath-exception-2.0 Font-exception-2.0 GCC-exception-2.0
  GCC-exception-3.1 LGPL-3.0-linking-exception Libtool-exception Linux-syscall-note LLVM-exception OCaml-LGPL-linking-exception
  OpenSSL-exception Qt-GPL-exception-1.0 Qt-LGPL-exception-1.1 Swift-exception u-boot-exception-2.0 Universal-FOSS-exception-1.0
  WxWindows-exception-3.1`.split(/\s+/),
);

const NOT_SAID = 'NOASSERTION';

export interface OwnLicense {
  readonly licenseId: string;
  /** As it was written: nobody said more. */
  readonly extractedText: string;
  readonly name: string;
}

/** The licences of one document. */
export class Licenses {
  readonly #own = new Map<string, string>();
  readonly #ids = new Set<string>();

  /** What `written` is as an SPDX expression. */
  expressionOf(written: string | undefined): string {
    const text = written?.trim().replaceAll(/\s+/g, ' ') ?? '';
    if (text === '') return NOT_SAID;
    const words = readExpression(text);
    if (words === undefined) return this.#ownId(text);
    const listed = words.map((word) => (isName(word) && !isListed(word) ? this.#ownId(word) : word));
    return listed.join(' ').replaceAll('( ', '(').replaceAll(' )', ')');
  }

  own(): OwnLicense[] {
    return [...this.#own].map(([text, licenseId]) => ({ licenseId, extractedText: text, name: text }));
  }

  #ownId(text: string): string {
    const known = this.#own.get(text);
    if (known !== undefined) return known;
    const slug = text
      .replaceAll('+', '-plus')
      .replaceAll(/[^A-Za-z0-9.-]+/g, '-')
      .slice(0, 60)
      .replaceAll(/^-+|-+$/g, '');
    const wanted = `LicenseRef-${slug || 'unnamed'}`;
    let id = wanted;
    for (let count = 2; this.#ids.has(id); count++) id = `${wanted}-${count}`;
    this.#ids.add(id);
    this.#own.set(text, id);
    return id;
  }
}

/** Words of an expression, operators in capitals; undefined: it is none. Operators in small letters are rpm's. */
function readExpression(text: string): string[] | undefined {
  const words = text.match(/[()]|[^\s()]+/g) ?? [];
  const read: string[] = [];
  let depth = 0;
  let wantsName = true;
  while (read.length < words.length) {
    const word = words[read.length] as string;
    const exception = words[read.length + 1] ?? '';
    if (word === '(' && wantsName) depth += 1;
    else if (word === ')' && !wantsName && depth > 0) depth -= 1;
    else if (/^(?:and|or)$/i.test(word) && !wantsName) wantsName = true;
    else if (wantsName && isName(word)) wantsName = false;
    else if (/^with$/i.test(word) && isName(read.at(-1) ?? '') && EXCEPTIONS.has(exception)) {
      read.push('WITH', exception);
      continue;
    } else return undefined;
    read.push(/^(?:and|or)$/i.test(word) ? word.toUpperCase() : word);
  }
  return depth > 0 || wantsName ? undefined : read;
}

const isName = (word: string): boolean =>
  /^[A-Za-z0-9][A-Za-z0-9.+-]*$/.test(word) && !['AND', 'OR', 'WITH'].includes(word.toUpperCase()) && !EXCEPTIONS.has(word);

/** `+`: this version or a later one. */
function isListed(word: string): boolean {
  return LISTED.has(word) || (word.endsWith('+') && LISTED.has(word.slice(0, -1)));
}
