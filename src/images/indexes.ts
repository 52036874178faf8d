// Images for several platforms under one name: rows of `indexes` and `index_images`. The images in one are images like any other; what is said
// of a name is `store.ts`, which also holds the transactions.

import type { Database } from '../base/database.ts';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import { formatPlatform, hostPlatform, rankPlatform } from '../oci/platform.ts';
import type { Image, ImageIndex, PlatformImage } from './image.ts';

interface Row {
  readonly id: Digest;
  readonly document: string;
  readonly created: number;
}

export class Indexes {
  readonly #db: Database;
  readonly #imageOf: (id: Digest) => Image | undefined;

  constructor(db: Database, imageOf: (id: Digest) => Image | undefined) {
    this.#db = db;
    this.#imageOf = imageOf;
  }

  /** Newest first. */
  list(): ImageIndex[] {
    return this.#db.all<Row>('SELECT * FROM indexes ORDER BY created DESC, id').map((row) => this.#fromRow(row));
  }

  get(id: Digest): ImageIndex | undefined {
    const row = this.#db.get<Row>('SELECT * FROM indexes WHERE id = ?', id);
    return row && this.#fromRow(row);
  }

  /** At most two. */
  startingWith(hex: string): ImageIndex[] {
    const rows = this.#db.all<Row>('SELECT * FROM indexes WHERE id GLOB ? LIMIT 2', `sha256:${hex}*`);
    return rows.map((row) => this.#fromRow(row));
  }

  /** The first that an image is part of; undefined: it stands alone. */
  holding(image: Digest): ImageIndex | undefined {
    const row = this.#db.get<{ id: Digest }>('SELECT index_id AS id FROM index_images WHERE image = ? LIMIT 1', image);
    return row && this.get(row.id);
  }

  add(id: Digest, document: string, images: readonly { readonly platform: Platform; readonly image: Digest }[]): void {
    const made = this.#db.run('INSERT OR IGNORE INTO indexes (id, document, created) VALUES (?, ?, ?)', id, document, Date.now());
    // Equal bytes name equal manifests, and so equal images.
    if (made === 0) return;
    for (const [position, { platform, image }] of images.entries()) {
      const sql = 'INSERT INTO index_images (index_id, position, image, platform) VALUES (?, ?, ?, ?)';
      this.#db.run(sql, id, position, image, JSON.stringify(platform));
    }
  }

  remove(id: Digest): void {
    this.#db.run('DELETE FROM indexes WHERE id = ?', id);
  }

  #fromRow({ id, document, created }: Row): ImageIndex {
    const names = this.#db.all<{ name: string; updated: number }>(
      'SELECT name, updated FROM names WHERE index_id = ? ORDER BY name',
      id,
    );
    const images = this.#db
      .all<{ image: Digest; platform: string }>(
        'SELECT image, platform FROM index_images WHERE index_id = ? ORDER BY position',
        id,
      )
      .flatMap(({ image: imageId, platform }): PlatformImage[] => {
        const image = this.#imageOf(imageId);
        return image ? [{ platform: JSON.parse(platform) as Platform, image }] : [];
      });
    return {
      id,
      document,
      images,
      names: names.map(({ name }) => name),
      added: created,
      tagged: names.length === 0 ? undefined : Math.max(...names.map(({ updated }) => updated)),
    };
  }
}

/** The image of an index that serves `platform` best. `label` is what messages call the index. */
export function imageFor(index: ImageIndex, platform: Platform, label: string): Image {
  const best = bestFor(index, platform);
  if (best) return best;
  const offered = index.images.map((each) => formatPlatform(each.platform)).join(', ');
  throw new TbuildError('image/no-platform', `${label} has no image for ${formatPlatform(platform)}: it has ${offered}`, {
    hint: 'choose one of these with --platform',
  });
}

/** What is meant where nobody says a platform: this machine's, else the first. */
export function defaultImage(index: ImageIndex): Image {
  return bestFor(index, hostPlatform()) ?? (index.images[0] as PlatformImage).image;
}

function bestFor({ images }: ImageIndex, platform: Platform): Image | undefined {
  const ranked = images.flatMap(({ image, platform: offered }) => {
    const rank = rankPlatform(platform, offered);
    return rank === undefined ? [] : [{ image, rank }];
  });
  return ranked.sort((a, b) => a.rank - b.rank)[0]?.image;
}
