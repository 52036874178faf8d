// Image configs: read from untrusted bytes, written in BuildKit's bytes. Members that no builder of today writes are dropped on reading, as BuildKit does.

import type { ContainerConfig, Healthcheck, HistoryEntry, ImageConfig } from './config.ts';
import { platformMembers } from './descriptor.ts';
import {
  asBoolean,
  asDigest,
  asList,
  asMembers,
  asRecord,
  asString,
  asWholeNumber,
  badDocument,
  optional,
  parseJson,
  present,
} from './document.ts';

const asStrings = (value: unknown, where: string) => asList(value, where, asString);
const asSet = (value: unknown, where: string) => asRecord(value, where, () => ({}) as Record<string, never>);
const asLabels = (value: unknown, where: string) => asRecord(value, where, asString);

/** `name` is what messages call it. Throws `image/bad-document`. */
export function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  const members = asMembers(parseJson(bytes, name), name);
  const rootfs = asMembers(members.get('rootfs'), `${name}, rootfs`);
  const { os, architecture, ...rest } = platformMembers(members, name);
  if (os === '' || architecture === '') throw badDocument(name, 'does not say for which platform it is');
  return {
    architecture,
    os,
    ...present({
      variant: rest.variant,
      created: optional(members, 'created', name, asString),
      author: optional(members, 'author', name, asString) || undefined,
      config: optional(members, 'config', name, asContainerConfig),
      history: optional(members, 'history', name, (list, where) => asList(list, where, asHistoryEntry)),
    }),
    // Docker writes null for an image without layers.
    rootfs: {
      type: 'layers',
      diff_ids: optional(rootfs, 'diff_ids', name, (list, where) => asList(list, where, asDigest)) ?? [],
    },
  };
}

function asContainerConfig(value: unknown, where: string): ContainerConfig {
  const members = asMembers(value, where);
  const text = (key: string) => optional(members, key, where, asString) || undefined;
  return present({
    User: text('User'),
    ExposedPorts: optional(members, 'ExposedPorts', where, asSet),
    Env: optional(members, 'Env', where, asStrings),
    Entrypoint: optional(members, 'Entrypoint', where, asStrings),
    Cmd: optional(members, 'Cmd', where, asStrings),
    Volumes: optional(members, 'Volumes', where, asSet),
    WorkingDir: text('WorkingDir'),
    Labels: optional(members, 'Labels', where, asLabels),
    StopSignal: text('StopSignal'),
    ArgsEscaped: optional(members, 'ArgsEscaped', where, asBoolean) || undefined,
    Shell: optional(members, 'Shell', where, asStrings),
    OnBuild: optional(members, 'OnBuild', where, asStrings),
    Healthcheck: optional(members, 'Healthcheck', where, asHealthcheck),
  });
}

function asHealthcheck(value: unknown, where: string): Healthcheck {
  const members = asMembers(value, where);
  const number = (key: string) => optional(members, key, where, asWholeNumber);
  return present({
    Test: optional(members, 'Test', where, asStrings),
    Interval: number('Interval'),
    Timeout: number('Timeout'),
    StartPeriod: number('StartPeriod'),
    StartInterval: number('StartInterval'),
    Retries: number('Retries'),
  });
}

function asHistoryEntry(value: unknown, where: string): HistoryEntry {
  const members = asMembers(value, where);
  return present({
    created: optional(members, 'created', where, asString),
    created_by: optional(members, 'created_by', where, asString) || undefined,
    author: optional(members, 'author', where, asString) || undefined,
    comment: optional(members, 'comment', where, asString) || undefined,
    empty_layer: optional(members, 'empty_layer', where, asBoolean) || undefined,
  });
}

/**
 * The config's bytes as BuildKit writes them (exporter/containerimage/writer.go, patchImageConfig): the members of the document sorted, those
 * below in the order of Go's ocispec and dockerspec types, empty ones left out, Go's escapes. Equal configs give equal bytes.
 */
export function encodeImageConfig(image: ImageConfig): Buffer {
  return Buffer.from(
    goJson({
      architecture: image.architecture,
      author: image.author || undefined,
      config: encodeContainerConfig(image.config ?? {}),
      created: image.created,
      history: image.history?.map(encodeHistoryEntry),
      os: image.os,
      rootfs: { type: 'layers', diff_ids: image.rootfs.diff_ids.length > 0 ? image.rootfs.diff_ids : null },
      variant: image.variant || undefined,
    }),
  );
}

function encodeContainerConfig(config: ContainerConfig): object {
  return {
    User: config.User || undefined,
    ExposedPorts: sorted(config.ExposedPorts),
    Env: filled(config.Env),
    Entrypoint: filled(config.Entrypoint),
    Cmd: filled(config.Cmd),
    Volumes: sorted(config.Volumes),
    WorkingDir: config.WorkingDir || undefined,
    Labels: sorted(config.Labels),
    StopSignal: config.StopSignal || undefined,
    ArgsEscaped: config.ArgsEscaped || undefined,
    Healthcheck: config.Healthcheck && encodeHealthcheck(config.Healthcheck),
    OnBuild: filled(config.OnBuild),
    Shell: filled(config.Shell),
  };
}

function encodeHealthcheck(check: Healthcheck): object {
  return {
    Test: filled(check.Test),
    Interval: check.Interval || undefined,
    Timeout: check.Timeout || undefined,
    StartPeriod: check.StartPeriod || undefined,
    StartInterval: check.StartInterval || undefined,
    Retries: check.Retries || undefined,
  };
}

function encodeHistoryEntry(entry: HistoryEntry): object {
  return {
    created: entry.created,
    created_by: entry.created_by || undefined,
    author: entry.author || undefined,
    comment: entry.comment || undefined,
    empty_layer: entry.empty_layer || undefined,
  };
}

/** Go's omitempty on a slice. */
function filled<T>(list: readonly T[] | null | undefined): readonly T[] | undefined {
  return list && list.length > 0 ? list : undefined;
}

/** Go's omitempty on a map, whose keys json.Marshal sorts by bytes. */
function sorted<T>(map: Readonly<Record<string, T>> | undefined): Record<string, T> | undefined {
  const entries = Object.entries(map ?? {});
  if (entries.length === 0) return undefined;
  return Object.fromEntries(entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

const GO_ESCAPES: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

function goJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (character) => GO_ESCAPES[character] as string);
}
