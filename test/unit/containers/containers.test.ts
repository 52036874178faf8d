// Records and directories of containers, and what is left of them when a process is killed between two steps. Nothing runs here.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Containers } from '../../../src/containers/containers.ts';
import { plainSpec } from '../../support/container-spec.ts';
import { openImageStore } from '../../support/image-store.ts';

async function open() {
  const { place, addLayer, images } = await openImageStore();
  return { place, addLayer, images, containers: new Containers(place) };
}

describe('containers are found', () => {
  it('by ID, by name with or without a slash, by the unique beginning of an ID', async () => {
    const { containers } = await open();
    const [a, b] = [
      containers.create(plainSpec(), 'a1', 'a'.repeat(64)),
      containers.create(plainSpec(), 'b1', `ab${'c'.repeat(62)}`),
    ];
    for (const word of [a.id, 'a1', '/a1', 'aa']) expect(containers.find(word).id).toBe(a.id);
    expect(containers.list().map(({ name }) => name)).toEqual([b.name, a.name]);
    expect(() => containers.find('a')).toThrow('Multiple IDs found with provided prefix: a');
    expect(() => containers.find('c')).toThrow('No such container: c');
    expect(() => containers.find('%')).toThrow('No such container: %');
  });

  it('by a name that looks like the beginning of an ID', async () => {
    const { containers } = await open();
    containers.create(plainSpec(), 'other', 'abc'.padEnd(64, '0'));
    const named = containers.create(plainSpec(), 'abc');
    expect(containers.find('abc').id).toBe(named.id);
  });
});

describe('names', () => {
  it('are two words where none is given, and never given twice', async () => {
    const { containers } = await open();
    const names = Array.from({ length: 60 }, () => containers.create(plainSpec()).name);
    expect(new Set(names).size).toBe(60);
    for (const name of names) expect(name).toMatch(/^[a-z]+_[a-z]+\d?$/);
  });

  it('are as docker has them', async () => {
    const { containers } = await open();
    for (const name of ['a', '-a', 'a/b', '', 'ä1', 'a b']) {
      expect(() => containers.create(plainSpec(), name)).toThrow(`Invalid container name (${name})`);
    }
    const { id } = containers.create(plainSpec(), '/web.1_x-2');
    expect(() => containers.create(plainSpec(), 'web.1_x-2')).toThrow(
      `Conflict. The container name "/web.1_x-2" is already in use by container "${id}". You have to remove (or rename) that container`,
    );
  });

  it('can be changed, and are free again afterwards', async () => {
    const { containers } = await open();
    const web = containers.create(plainSpec(), 'web');
    containers.create(plainSpec(), 'db');
    await expect(containers.rename(web, 'db')).rejects.toThrow('Error when allocating new name: Conflict.');
    await containers.rename(web, 'old');
    expect(containers.find('old').id).toBe(web.id);
    containers.create(plainSpec(), 'web');
    await containers.remove(containers.find('old'), { force: false });
    expect(containers.list().map(({ name }) => name)).toEqual(['web', 'db']);
  });
});

describe('what is half there', () => {
  it('is no container: a row whose directory its monitor removed', async () => {
    const { containers } = await open();
    const { directory } = containers.create(plainSpec(), 'gone');
    rmSync(directory, { recursive: true });
    expect(containers.list()).toEqual([]);
    expect(() => containers.find('gone')).toThrow('No such container: gone');
    await containers.sweep();
    expect(containers.create(plainSpec(), 'gone').name).toBe('gone');
  });

  it('goes: a directory without a row', async () => {
    const { place, containers } = await open();
    const stray = place.store.path('containers', 'f'.repeat(64));
    mkdirSync(path.join(stray, 'upper'), { recursive: true });
    await containers.sweep();
    expect(existsSync(stray)).toBe(false);
  });

  it('leaves nothing in the store when it is removed', async () => {
    const { place, containers } = await open();
    const { directory } = containers.create(plainSpec(), 'web');
    writeFileSync(path.join(directory, 'file'), '');
    await containers.remove(containers.find('web'), { force: false });
    expect(readdirSync(place.store.path('containers'))).toEqual([]);
    expect(readdirSync(place.store.path('tmp')).filter((name) => name.startsWith('.dead'))).toEqual([]);
  });
});

describe('layers', () => {
  it('of a container stay when the image goes, and go with the container', async () => {
    const { place, images, addLayer, containers } = await open();
    const layer = await addLayer({ file: 'content' });
    const container = containers.create(plainSpec({ layers: [layer.id] }));
    images.releaseLayers([layer.id]);
    expect(place.layers.get(layer.id)).toBeDefined();
    await containers.remove(container, { force: false });
    images.collect();
    expect(place.layers.get(layer.id)).toBeUndefined();
  });

  it('that are not here make no container', async () => {
    const { containers } = await open();
    expect(() => containers.create(plainSpec({ layers: [`blake3:${'1'.repeat(64)}`] }))).toThrow(
      'was removed while the container was made',
    );
    expect(containers.list()).toEqual([]);
  });
});
